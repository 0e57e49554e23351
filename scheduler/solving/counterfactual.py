"""What another policy would have decided for a served query, and answered where its chains tell.

It decides on the same inputs, in the same loop, and spends nothing.
"""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple, Self, TypeVar

from policies.answer_spec import AnswerSpec
from policies.base import Policy, Query
from policies.curves.curve import ClassCurve
from policies.plan import Forecast, Plan
from policies.signals import Probe
from scheduler.solving.answers import QueryAnswers
from scheduler.solving.ledger import Ledger
from scheduler.solving.outcome import Outcome, build_outcome
from scheduler.solving.rounds import DecisionStep, SampleRecord, steers
from scheduler.solving.run import QueryRun
from scheduler.solving.served_chains import NOT_SERVED, ServedChains
from scheduler.solving.solve import solve
from workers.answers.grader import Grader
from workers.engine import Refused, SampleRequest
from workers.sample import Sample

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServedQuery:
    """A query with all that its policy saw, and the chains that it got.

    `right` says of its answers whether they are; None: nobody knows.
    """

    query: Query
    curve: ClassCurve | None
    price: float
    load: float
    room: int
    greedy: bool
    learns: bool
    steered: bool
    records: tuple[SampleRecord, ...]
    steps: tuple[DecisionStep, ...]
    right: Mapping[str, bool] | None = None
    open_ended: bool = False

    @classmethod
    def of(cls, run: QueryRun) -> Self:
        return cls(
            run.query,
            run.curve,
            run.price,
            run.load,
            run.room,
            run.greedy,
            run.learns,
            run.steered,
            tuple(run.records),
            tuple(run.steps),
            run.answers.right,
            run.answers.is_open_ended,
        )


class PlanChoice(NamedTuple):
    """A policy's first decision; `samples` is 0 where it draws nothing."""

    plan: str | None
    is_exploration: bool
    samples: int
    max_thinking_tokens: int | None
    extensions: int
    temperature: float | None
    price: float | None = None


class Followed(NamedTuple):
    """What a policy would have done.

    `agrees` is whether its first decision was the served one. `outcome` is exact; None where the
    served chains do not tell (`missing` says why). `is_served_course` is whether it would have had
    every served chain. `forecast` is its own, or that of its first decision by the curves.
    """

    choice: PlanChoice
    agrees: bool
    forecast: Forecast | None
    outcome: Outcome | None
    is_served_course: bool = False
    missing: str = ""


def follow(policy: Policy, served: ServedQuery, rng: Random) -> Followed:
    """Raises PolicyFailed, or whatever a policy of ours raises; ValueError if it reads rewards."""
    if policy.options.reads_rewards:
        raise ValueError(f"{policy.name} reads rewards of chains, which no log has")
    engine = ServedChains(served.records, served.steps, served.steered)
    # A deadline is the clock's, and more choices are drawn only to be returned.
    limits = replace(served.query.limits, deadline_seconds=None)
    run = QueryRun(
        query=replace(served.query, limits=limits, choices=1),
        account=Ledger().open(limits.max_total_tokens),
        room=served.room,
        max_chains=policy.max_chains,
        curve=served.curve,
        price=policy.options.price or served.price,
        load=served.load,
        learns=served.learns,
        answers=_Grouped(served.right, open_ended=served.open_ended),
        greedy=served.greedy,
        clock=lambda: 0.0,
    )
    missing, outcome = "", None
    try:
        stop = _completed(solve(run, engine=engine, policy=policy, rng=rng))
        outcome = build_outcome(run, stop, model="", policy=policy.name)
    except Refused as refused:
        if refused.code != NOT_SERVED:
            raise
        missing = refused.why
    first = engine.requests[0] if engine.requests else None
    return Followed(
        _choice(run.plan, first),
        _agrees(first, served),
        _forecast(served.curve, run.plan, first),
        outcome,
        outcome is not None and engine.gave_all,
        missing,
    )


class _Grouped(QueryAnswers):
    """Answers that were grouped, and graded, when they were served."""

    def __init__(self, right: Mapping[str, bool] | None, *, open_ended: bool) -> None:
        super().__init__(Grader(), AnswerSpec("none") if open_ended else AnswerSpec())
        self.right = None if right is None else dict(right)

    async def grouped(self, event: Probe | Sample) -> Probe | Sample:
        return event


def _completed(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing: it needs no event loop."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    coroutine.close()
    raise RuntimeError("it waits for something")


def _choice(plan: Plan | None, first: SampleRequest | None) -> PlanChoice:
    name = plan.name if plan else None
    if first is None:
        return PlanChoice(name, False, 0, None, 0, None)
    return PlanChoice(
        name,
        plan is not None and plan.is_exploration,
        len(first.chains),
        first.budget.max_thinking_tokens,
        first.budget.extensions,
        first.sampling.temperature,
        plan.price if plan else None,
    )


def _agrees(first: SampleRequest | None, served: ServedQuery) -> bool:
    if first is None or not served.steps or served.steered or steers(first):
        return False
    step = served.steps[0]
    same = (step.chains, step.budget) == (first.chains, first.budget)
    return same and served.records[0].temperature == first.sampling.temperature


def _forecast(
    curve: ClassCurve | None, plan: Plan | None, first: SampleRequest | None
) -> Forecast | None:
    """Of the plan, if it says; else of the first chains, by the curves."""
    if plan is not None and plan.forecast is not None:
        return plan.forecast
    if curve is None or first is None:
        return None
    budget, chains = first.budget, len(first.chains)
    if chains == 1:
        if budget.extensions and (known := curve.extension):
            at = min(budget.extensions, len(known.accuracy) - 1)
            return Forecast(known.accuracy[at], known.tokens[at])
        return curve.length.at(budget.max_thinking_tokens) if curve.length else None
    if votes := curve.votes:
        at = min(chains, len(votes.accuracy)) - 1
        return Forecast(votes.accuracy[at], votes.tokens[at])
    return None
