"""Answers queries: picks the class's curve, opens an account, solves, settles, learns, logs.

A plain class: it imports neither Ray nor HTTP, and the command line uses it directly.
"""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TextIO

from policies.answer_spec import AnswerSpec
from policies.base import Policy, Query, Stop
from policies.curves.observation import predicted
from policies.sampling import SamplingParams
from scheduler.admission.access import CALLER
from scheduler.admission.admission import Admission, Ticket
from scheduler.curves.exchange import CurveSource
from scheduler.curves.feedback import PendingFeedback
from scheduler.curves.query_classes import QueryClasses
from scheduler.curves.records import ObservationRecord
from scheduler.errors import DeadlineExceeded, InvalidRequest, Overloaded, PolicyFailed
from scheduler.solving.activity import Activity
from scheduler.solving.answers import QueryAnswers
from scheduler.solving.continuing import Unfinished, restore
from scheduler.solving.decide import decide
from scheduler.solving.exploration_runs import ExplorationRuns
from scheduler.solving.ledger import Ledger
from scheduler.solving.metrics import Metrics
from scheduler.solving.outcome import Outcome, build_outcome, observation
from scheduler.solving.outcome_log import OutcomeLog
from scheduler.solving.outcome_sink import OutcomeSink
from scheduler.solving.pricing import Pricing
from scheduler.solving.rollout import ArmOfSplit, Rollout
from scheduler.solving.rounds import OnEvent
from scheduler.solving.run import QueryRun
from scheduler.solving.shadow import Shadow
from scheduler.solving.solve import solve
from scheduler.solving.token_limits import worst_query
from scheduler.solving.trace import request_id, span_attributes, tracing
from scheduler.tracing.spans import Spans, annotate
from workers.answers.grader import Grader
from workers.engine import Engine, EngineInfo, Refused
from workers.verifier.base import Verifier, VerifierFailed

log = logging.getLogger("thinkbudget")


@dataclass(slots=True)
class Controller:
    """`policy` is the one used unless a query brings its own, be it only with its own price.

    `rollout` splits the queries that do not bring one, and `shadow` decides on them, too.
    `answer_specs` says what answers are, by class. `violations` counts, by kind, the parts of
    budgets that chains have broken: none, but for bugs.
    """

    engine: Engine
    info: EngineInfo
    policy: Policy
    curves: CurveSource
    pricing: Pricing
    ledger: Ledger = field(default_factory=Ledger)
    seed: int = 0
    outcomes: TextIO | OutcomeLog | None = None
    #: Where labels that come after the reply are logged.
    labels: OutcomeLog | None = None
    store: OutcomeSink | None = None
    classes: QueryClasses | None = None
    violations: Counter[str] = field(default_factory=Counter)
    metrics: Metrics = field(default_factory=Metrics)
    admission: Admission = field(default_factory=Admission)
    grader: Grader = field(default_factory=Grader)
    answer_specs: Mapping[str, AnswerSpec] = field(default_factory=dict)
    #: Rewards chains, for the policies that read rewards.
    verifier: Verifier | None = None
    rollout: Rollout | None = None
    shadow: Shadow | None = None
    #: Kept for the live page. None: nobody looks on.
    activity: Activity | None = None
    spans: Spans = field(default_factory=Spans)
    _exploration_runs: ExplorationRuns = field(init=False, default_factory=ExplorationRuns)
    #: Names of the running queries at the engine.
    _names: set[str] = field(init=False, default_factory=set)

    async def answer(
        self,
        query: Query,
        *,
        policy: Policy | None = None,
        on_event: OnEvent | None = None,
        learn: bool = True,
        tenant: str = "",
        earlier: Unfinished | None = None,
    ) -> Outcome:
        """Answer one query. `on_event` is called as it goes on; `learn` updates the curve.

        `tenant` is whose tokens these are, where several share the engines. `earlier` is where the
        query was left before: its chains go on, and the outcome counts all of them.

        Raises InvalidRequest when the engine refuses the query, Overloaded when none is there.
        """
        policy, caller = policy or self.policy, CALLER.get()
        arm = None
        if self.rollout and policy is self.policy:
            arm, policy = self.rollout.assign(query)
        tenant, urgency = caller.name or tenant, caller.urgency(query.sampling.priority)
        seconds = self.admission.deadline(query.limits.deadline_seconds)
        asked = {
            "gen_ai.conversation.id": query.session or None,
            "thinkbudget.policy": policy.name,
            "thinkbudget.query_class": query.query_class,
        }
        with (
            tracing(query, policy=policy.name, tenant=tenant) as trace,
            self.spans.query(trace.parent, asked, request_id=trace.request_id) as span,
        ):
            async with self.admission.admitted(
                caller,
                worst=worst_query(policy, query.limits, self.info.max_model_len),
                stated=query.limits.max_total_tokens,
                priority=urgency,
                seconds=seconds,
            ) as ticket:
                limits = ticket.rest(query.limits, seconds)
                sampling = replace(query.sampling, priority=urgency, cache_salt=caller.cache_salt)
                query = replace(query, limits=limits, sampling=sampling)
                outcome = await self._answer(
                    query, policy, on_event, learn, tenant, ticket, arm, earlier
                )
            trace.settled(outcome)
            annotate(span, span_attributes(outcome))
        return outcome

    async def _answer(
        self,
        query: Query,
        policy: Policy,
        on_event: OnEvent | None,
        learn: bool,
        tenant: str,
        ticket: Ticket,
        arm: ArmOfSplit | None,
        earlier: Unfinished | None,
    ) -> Outcome:
        run, rng = self._open(query, policy, tenant, learn=learn)
        if earlier is not None:
            await restore(run, earlier)
        run.engine_name = self._unused_name(query.id)
        self._names.add(run.engine_name)
        try:
            stop = await solve(
                run,
                engine=self.engine,
                policy=policy,
                rng=rng,
                on_event=on_event,
                verifier=self.verifier,
            )
        except VerifierFailed as failed:
            if not run.samples:
                raise Overloaded(str(failed)) from failed
            log.warning("query %s: %s", query.id, failed)
            stop = Stop("failed")
        except Overloaded:
            if not run.samples:
                raise
            stop = Stop("failed")
        except PolicyFailed as failed:
            failed.spent = run.account.spent
            raise
        except Refused as refused:
            # What is not of the question or the engine was asked for as an option.
            named = refused.field == "messages" or hasattr(SamplingParams, refused.field)
            raise InvalidRequest(
                refused.why,
                field=refused.field if named else f"thinkbudget.{refused.field}",
                code=refused.code,
            ) from refused
        finally:
            run.leave()
            self._names.discard(run.engine_name)
            ticket.spent = run.account.spent
        if stop.reason == "budget" and not run.records:
            raise _too_little(run)
        if stop.reason == "deadline" and not run.samples:
            raise DeadlineExceeded(query.limits.deadline_seconds)
        if stop.reason == "failed" and not run.samples:
            raise Overloaded("no engine could finish a sample of this request; try again")
        await run.answers.grade(run.records, query.reference)
        outcome = build_outcome(run, stop, model=self.info.model, policy=policy.name)
        if arm:
            outcome = replace(outcome, arm=arm, propensity=outcome.propensity * arm.propensity)
        self.pricing.settle(
            outcome.tokens.total,
            tenant=tenant,
            predicted=predicted(outcome.plan, outcome.chance),
            right=outcome.correct,
        )
        if self.activity:
            self.activity.settled(
                outcome,
                price=self.pricing.price.per_token,
                tenant=tenant,
                has_key=bool(CALLER.get().name),
                reads_curves=policy.options.reads_curves,
            )
        self._settle(run, outcome)
        return outcome

    def labelled(self, outcome: str, reward: float) -> None:
        """Log a label that came after the reply: `reward` is 1 for right, 0 for wrong."""
        if self.labels is not None:
            line = {"id": outcome, "reward": reward, "time": round(time.time(), 3)}
            self.labels.write(json.dumps(line) + "\n")

    def preview(self, query: Query, *, policy: Policy, tenant: str = "") -> Outcome:
        """What would be decided first, and is expected of it; nothing is spent, or learned."""
        run, rng = self._open(query, policy, CALLER.get().name or tenant)
        decision = decide(policy, run, rng)
        if isinstance(decision, Stop) or not run.dispatch(decision, stream=False):
            raise _too_little(run)
        run.settle()
        run.leave()
        return build_outcome(run, Stop("dry run"), model=self.info.model, policy=policy.name)

    async def goes_on(self, query: Query, *, policy: Policy, earlier: Unfinished) -> bool:
        """Whether the policy would spend more on a query that it has left; nothing is spent."""
        run, rng = self._open(query, policy, "")
        await restore(run, earlier)
        decision = decide(policy, run, rng)
        run.leave()
        return not isinstance(decision, Stop)

    def _open(
        self, query: Query, policy: Policy, tenant: str, *, learn: bool = True
    ) -> tuple[QueryRun, Random]:
        if policy.options.reads_rewards and self.verifier is None:
            why = f"policy {policy.name!r} reads rewards, and this server has no verifier"
            raise InvalidRequest(why, field="thinkbudget.policy")
        others = max(0, self.admission.running - 1) + self.admission.waiting
        load = others / (self.admission.slots or self.info.slots)
        run = QueryRun(
            query=query,
            account=self.ledger.open(query.limits.max_total_tokens),
            room=self.info.max_model_len,
            max_chains=policy.max_chains,
            curve=self.curves.curve(self.info.model, query.query_class),
            price=policy.options.price or self.pricing.now(load=load, tenant=tenant),
            load=load,
            exploration_runs=self._exploration_runs,
            learns=learn and query.sampling.answer.kind != "none",
            answers=QueryAnswers(self.grader, query.sampling.answer),
            greedy=self.info.greedy,
            clock=asyncio.get_running_loop().time,
        )
        return run, Random(f"{self.seed}/{query.id}")

    def _unused_name(self, query: str) -> str:
        """Two running queries of one id must not be cancelled as one."""
        name, number = query, 1
        while name in self._names:
            number += 1
            name = f"{query}~{number}"
        return name

    def _settle(self, run: QueryRun, outcome: Outcome) -> None:
        for violation in outcome.violations:
            log.error("query %s: a chain broke its budget: %s", outcome.query.id, violation)
            self.violations[violation] += 1
        self.metrics.settled(outcome)
        learned = observation(run, chance=outcome.chance) if run.learns else None
        record = None
        if learned is not None:
            record = ObservationRecord(self.info.model, learned, run.price)
            self.curves.observe(record)
        query = outcome.query
        self.curves.remember(PendingFeedback(query.id, CALLER.get().name, outcome.answer, record))
        if self.outcomes is None and self.store is None and self.shadow is None:
            return
        line = outcome.as_dict() | {"request_id": request_id(), "time": round(time.time(), 3)}
        own = outcome.policy == self.policy.name or outcome.arm is not None
        if self.shadow is not None and own:
            self.shadow.beside(run, outcome, lambda told: self._log(line | {"shadow": told}))
        else:
            self._log(line)

    def _log(self, line: dict[str, Any]) -> None:
        if self.outcomes is not None:
            self.outcomes.write(json.dumps(line) + "\n")
            if not isinstance(self.outcomes, OutcomeLog):
                self.outcomes.flush()
        if self.store is not None:
            asked = str(line["request_id"] or "")
            self.store.put_outcome(line, tenant=CALLER.get().name, request_id=asked)


def _too_little(run: QueryRun) -> InvalidRequest:
    return InvalidRequest(
        f"{run.account.left} tokens are left for this request, too few for any answer",
        field="thinkbudget.max_total_tokens",
        code="budget_too_small",
    )
