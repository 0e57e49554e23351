"""What the live page shows, as one JSON object: this gateway's figures and the cluster's curves."""

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from typing import Any, Final

from policies.curves.curve import ClassCurve
from scheduler.api import service
from scheduler.errors import Overloaded
from scheduler.solving.activity import SLICE_SECONDS, Activity
from scheduler.solving.controller import Controller
from workers.engine import Fleet, ReplicaStatus

log = logging.getLogger("thinkbudget")

MAX_CLASSES: Final = 12
"""Classes whose curves are shown: those with the most queries."""
SHOWN_VOTES: Final = frozenset({*range(1, 9), 10, 12, 16, 20, 24, 32, 40, 48, 64})
"""Of the many votes: those that are told apart in a chart."""
FLEET_SECONDS: Final = 1.0


class Snapshots:
    """Takes them. What is drawn of a curve is kept until the curve is fitted anew."""

    def __init__(
        self, controller: Controller, activity: Activity, *, models: Iterable[str] = ()
    ) -> None:
        self._controller, self._activity, self._models = controller, activity, models
        self._drawn: dict[str, tuple[ClassCurve, dict[str, Any]]] = {}

    async def take(self) -> dict[str, Any]:
        controller, activity = self._controller, self._activity
        admission = controller.admission
        most = admission.max_running
        return {
            "time": round(time.time(), 1),
            "since": round(activity.since, 1),
            "gateway": activity.name,
            "gateways": admission.gateways,
            "model": controller.info.model,
            "models": [*self._models],
            "policy": controller.policy.name,
            "price": self._price(),
            "slice_seconds": SLICE_SECONDS,
            "slices": [each.row() for each in activity.slices],
            "tokens": self._tokens(),
            "tenants": self._tenants(),
            "requests": dict(controller.metrics.outcomes()),
            "admission": {
                "running": admission.running,
                "waiting": admission.waiting,
                "max_running": None if math.isinf(most) else most,
                "max_queue": admission.limits.max_queue if admission.limits else None,
                "is_draining": admission.draining,
            },
            "fleet": await self._fleet(),
            "curves": self._curves(),
            "decisions": [*activity.decisions],
        }

    def _price(self) -> dict[str, Any]:
        pricing = self._controller.pricing
        price, fixed = pricing.price, self._controller.policy.options.price
        return {
            "per_token": fixed or price.per_token,
            "is_of_policy": fixed is not None,
            "tokens_per_query": price.tokens_per_query,
            "accuracy": price.accuracy,
            "surplus": round(price.surplus, 2),
            "load_weight": pricing.load_weight,
        }

    def _tokens(self) -> list[dict[str, Any]]:
        activity = self._activity
        return [
            {"class": cell.query_class, "plan": cell.plan, "queries": queries}
            | {"kinds": dict(activity.tokens.get(cell, {}))}
            for cell, queries in activity.queries.most_common()
        ]

    def _tenants(self) -> list[dict[str, Any]]:
        shares = self._controller.pricing.shares
        return [
            {"name": self._activity.shown(name), "factor": round(shares.factor(name), 3)} | counts
            for name, counts in sorted(
                self._activity.tenants.items(), key=lambda item: -item[1]["tokens"]
            )
        ]

    async def _fleet(self) -> dict[str, Any]:
        engine, is_up = self._controller.engine, True
        try:
            async with asyncio.timeout(FLEET_SECONDS):
                if isinstance(engine, Fleet):
                    replicas = await engine.replica_statuses()
                else:
                    replicas = (ReplicaStatus(self._controller.info.model, *await engine.load()),)
        except Exception as error:
            # Whatever an engine fails with, the rest of the page is shown.
            log.warning("the engines have not told their load: %r", error)
            replicas = ()
        try:
            await service.check(self._controller)
        except Overloaded:
            is_up = False
        return {
            "is_up": is_up,
            "slots": self._controller.info.slots,
            "replicas": [replica._asdict() for replica in replicas],
            "events": dict(engine.stats()),
        }

    def _curves(self) -> dict[str, Any]:
        source, model = self._controller.curves, self._controller.info.model
        sizes = source.sizes(model)
        names = sorted(sizes, key=lambda name: (-sizes[name], name))[:MAX_CLASSES]
        curves = {name: source.curve(model, name) for name in names}
        price = self._price()["per_token"]
        self._drawn = {
            name: self._drawing(name, curve) for name, curve in curves.items() if curve is not None
        }
        return {
            "count": len(sizes),
            "classes": [
                {"class": name, "chosen": _plans(curve, price)} | drawing
                for name, (curve, drawing) in self._drawn.items()
            ],
        }

    def _drawing(self, name: str, curve: ClassCurve) -> tuple[ClassCurve, dict[str, Any]]:
        """Curves never change: a new fit is a new one."""
        kept = self._drawn.get(name)
        return kept if kept and kept[0] is curve else (curve, _drawing(curve))


def _drawing(curve: ClassCurve) -> dict[str, Any]:
    """Lines by kind of plan: rows of x (as in CurvePoint), accuracy, low, high, tokens."""
    lines: dict[str, list[list[float]]] = {}
    for kind, x, *accuracy, tokens in curve.points():
        if kind == "votes" and x not in SHOWN_VOTES:
            continue
        row = [x, *(round(value, 4) for value in accuracy), round(tokens, 1)]
        lines.setdefault(kind, []).append(row)
    return {
        "queries": round(curve.queries, 1),
        "labelled": round(curve.labelled, 1),
        "lines": lines,
        "served": {
            plan: {field: round(value, 4) for field, value in served._asdict().items()}
            for plan, served in curve.served.items()
        },
    }


def _plans(curve: ClassCurve, price: float) -> list[dict[str, Any]]:
    """The plans at a price, best first: what the next query of the class gets, and what it is
    weighed against.
    """
    return [
        {
            "name": str(plan),
            "kind": plan.setting.kind,
            "chains": round(plan.chains, 2),
            "accuracy": round(plan.forecast.accuracy, 4),
            "error": round(plan.error, 4),
            "tokens": round(plan.forecast.tokens, 1),
            "worth": round(plan.forecast.net_value(price), 5),
        }
        for plan in sorted(
            curve.plan_table(price).plans,
            key=lambda plan: plan.forecast.net_value(price),
            reverse=True,
        )
    ]
