"""The models of one gateway: a controller each, made of the settings and changed with them.

Imports no ray. What is taken away is taken out of the table first: requests that have its
controller finish.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from policies.sampling import Adapter
from scheduler.admission.admission import Admission
from scheduler.admission.rate_limit import Quota
from scheduler.api.endpoint import Endpoint
from scheduler.cluster.candidates import outcome_log, rollout, shadow
from scheduler.config import ONLY, ServeConfig
from scheduler.curves.exchange import CurveSource
from scheduler.curves.query_classes import QueryClasses
from scheduler.engines.adapters import AdapterEngine
from scheduler.engines.failover import FailoverEngine
from scheduler.engines.pool import EnginePool
from scheduler.engines.quarantine import Quarantine
from scheduler.engines.verifier import make_verifier
from scheduler.policy_file import build_policy
from scheduler.solving.activity import Activity
from scheduler.solving.controller import Controller
from scheduler.solving.ledger import Ledger
from scheduler.solving.metrics import Metrics
from scheduler.solving.outcome_log import LABELS
from scheduler.solving.outcome_sink import OutcomeSink
from scheduler.solving.pricing import Pricing
from scheduler.tracing.spans import make_spans
from scheduler.tracing.traced import traced, traced_pool
from workers.answers.grader import Grader

Changes = dict[str, Any]


@dataclass(slots=True)
class Hosting:
    """`open_pool` reaches the engines of a model by its name. `settings` are those in force."""

    settings: ServeConfig
    curves: CurveSource
    open_pool: Callable[[str], EnginePool]
    quarantine: Quarantine = field(default_factory=Quarantine)
    store: OutcomeSink | None = None
    grader: Grader = field(default_factory=Grader)
    seed: int = 0
    #: Counts the settings that were in force.
    number: int = 0
    endpoint: Endpoint = field(init=False)
    _bases: dict[str, Controller] = field(init=False, default_factory=dict)
    _leaving: dict[str, Controller] = field(init=False, default_factory=dict)
    _quotas: dict[str, Quota] = field(init=False, default_factory=dict)

    async def start(self) -> None:
        """Make the models of the settings; their engines must be there."""
        settings = self.settings
        if not settings.models:
            only = self._bases[ONLY] = await self._make(ONLY, settings)
            self.endpoint = Endpoint.of(only, settings.access, settings.limits)
            return
        for name in settings.models:
            self._bases[name] = await self._make(name, settings.of_model(name))
        table = self._table(settings, {})
        self.endpoint = Endpoint(table, settings.access, settings.limits, routes=settings.routes)

    async def use(self, number: int, settings: ServeConfig) -> None:
        """Change to these settings, all at once or, where that raises, not at all."""
        if number <= self.number:
            return
        old, made, changes = self.settings, {}, dict[str, Changes]()
        for name, config in settings.by_model.items():
            if name in self._bases:
                was = old.of_model(name) if name else old
                changes[name] = self._changes(config, self._bases[name], was)
            else:
                made[name] = await self._make(name, config)
        self._leaving |= {name: one for name, one in self._bases.items() if name not in changes}
        self._bases = {name: made.get(name) or self._bases[name] for name in (*changes, *made)}
        for name, attributes in changes.items():
            _set(self._bases[name], attributes)
            self._bases[name].admission.limits = settings.limits
        if settings.models:
            self.endpoint.models = self._table(settings, self.endpoint.models, old, changes)
        self.endpoint.routes = settings.routes
        self.endpoint.access, self.endpoint.limits = settings.access, settings.limits
        self.settings, self.number = settings, number

    def drain(self) -> int:
        """Take no new requests; how many still run or wait."""
        for one in self._bases.values():
            one.admission.draining = True
        return sum(map(_under_way, (*self._bases.values(), *self._leaving.values())))

    def left(self, model: str) -> int:
        """How many requests of a model that was taken away still run here."""
        if model not in self._leaving:
            return 0
        if not (running := _under_way(self._leaving[model])):
            del self._leaving[model]
        return running

    async def _make(self, name: str, config: ServeConfig) -> Controller:
        spans = make_spans(config.tracing, name or config.engine.model)
        pool = FailoverEngine(
            traced_pool(self.open_pool(name), spans),
            quarantine=self.quarantine,
            watchdog_seconds=config.engine.watchdog_seconds,
            queue_seconds=config.limits.engine_seconds,
        )
        info = await pool.info()
        engines = config.scaling.max_replicas if config.scaling else config.replicas
        controller = Controller(
            engine=traced(pool, spans),
            # Curves, outcomes and requests know a model by its name in the settings.
            info=info._replace(model=name) if name else info,
            policy=build_policy(config.policy.name, **config.policy_options),
            curves=self.curves,
            pricing=Pricing.of(config.pricing),
            seed=self.seed,
            store=self.store,
            admission=Admission(
                config.limits,
                slots=max(1, info.slots * engines // config.gateways),
                gateways=config.gateways,
                quotas=self._quotas,
            ),
            grader=self.grader,
            activity=Activity() if config.live_page else None,
            spans=spans,
        )
        _set(controller, self._changes(config, controller, None))
        return controller

    def _changes(self, config: ServeConfig, to: Controller, old: ServeConfig | None) -> Changes:
        """What a controller gets of settings; what learns is kept where they are as they were."""
        policy = build_policy(config.policy.name, **config.policy_options)
        found: Changes = {
            "policy": policy,
            "rollout": rollout(config, policy),
            "classes": QueryClasses.load(Path(config.classes)) if config.classes else None,
            "answer_specs": config.answer_specs,
        }
        if old is None or old.verifier != config.verifier:
            found["verifier"] = make_verifier(config.verifier, config.engine)
        if old is None or old.pricing != config.pricing:
            found["pricing"] = Pricing.of(config.pricing)
        if old is None or (old.shadow, old.answer_tokens) != (config.shadow, config.answer_tokens):
            found["shadow"] = shadow(config, to.metrics)
        logs = ("outcomes", "outcomes_mib", "outcomes_files")
        if old is None or any(getattr(old, each) != getattr(config, each) for each in logs):
            found |= {"outcomes": outcome_log(config), "labels": outcome_log(config, LABELS)}
        return found

    def _table(
        self,
        settings: ServeConfig,
        before: dict[str, Controller],
        old: ServeConfig | None = None,
        changes: dict[str, Changes] | None = None,
    ) -> dict[str, Controller]:
        """The models and their adapters, each beside its base."""
        table = {}
        for name, model in settings.models.items():
            table[name] = base = self._bases[name]
            had = old.models[name].adapters if old and name in old.models else {}
            for adapter, folder in model.adapters.items():
                if had.get(adapter) == folder and adapter in before and name in (changes or {}):
                    table[adapter] = before[adapter]
                    config, own = settings.of_model(name), dict(changes[name] if changes else {})
                    if "pricing" in own:
                        own["pricing"] = Pricing.of(config.pricing)
                    if "shadow" in own:
                        own["shadow"] = shadow(config, before[adapter].metrics)
                    _set(before[adapter], own)
                else:
                    table[adapter] = _with(base, Adapter(adapter, folder), settings.of_model(name))
        return table


def _with(base: Controller, adapter: Adapter, config: ServeConfig) -> Controller:
    """An adapter: curves, price and metrics of its own, engines and queue of its base."""
    metrics = Metrics()
    return replace(
        base,
        engine=AdapterEngine(base.engine, adapter),
        info=base.info._replace(model=adapter.name),
        pricing=Pricing.of(config.pricing),
        metrics=metrics,
        shadow=shadow(config, metrics),
        ledger=Ledger(),
        violations=type(base.violations)(),
        activity=Activity() if config.live_page else None,
    )


def _set(controller: Controller, attributes: Changes) -> None:
    for name, value in attributes.items():
        setattr(controller, name, value)


def _under_way(controller: Controller) -> int:
    admission, beside = controller.admission, controller.shadow
    return admission.running + admission.waiting + (beside.waiting if beside else 0)
