"""What the decisions of one query were made from, as the outcome log holds it."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from policies.base import Limits
from policies.curves.chance import joint_plan
from policies.curves.curve import ClassCurve
from policies.curves.plan_table import Arm
from policies.plan import Forecast, Plan
from policies.tally import Tally
from scheduler.solving.rounds import DecisionStep
from scheduler.solving.run import QueryRun


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """What the decisions were made from, so that other policies can be replayed on the log.

    `alternatives` are the ways to spend that the class's curve offered at this query's price, best
    first; the curve stood on so many `queries` and `labelled` ones. `steps` are the decisions.
    `room` is the context in tokens, `temperature` what the caller asked for; `greedy` and `learns`
    are those of the `Situation`. `steered` is whether chains were changed otherwise than by a cap
    or an extension: their samples tell nothing of other policies.
    """

    limits: Limits
    load: float
    queries: float
    labelled: float
    alternatives: tuple[Arm, ...]
    steps: tuple[DecisionStep, ...]
    room: int
    temperature: float | None
    greedy: bool
    learns: bool
    steered: bool
    #: Of a joint plan: what one more vote would have brought, and its tokens.
    next_vote: Forecast | None = None

    @classmethod
    def of(cls, run: QueryRun) -> Self:
        curve, limits = run.curve, run.query.limits
        price = run.price / limits.value
        offers = _offers(curve, run.plan, price) if curve and run.price else ()
        seen = (curve.queries, curve.labelled) if curve else (0.0, 0.0)
        return cls(
            limits,
            run.load,
            *seen,
            offers,
            tuple(run.steps),
            run.room,
            run.query.sampling.temperature,
            run.greedy,
            run.learns,
            run.steered,
            _next_vote(curve, run.plan, run.tally),
        )

    def as_dict(self) -> dict[str, Any]:
        alternatives = [
            {
                "name": arm.name,
                "max_thinking_tokens": arm.max_thinking_tokens,
                "accuracy": round(arm.forecast.accuracy, 5),
                "error": round(arm.error, 5),
                "tokens": round(arm.forecast.tokens, 2),
            }
            for arm in self.alternatives
        ]
        steps = [
            step._asdict()
            | {"chains": list(step.chains), "budget": asdict(step.budget) if step.budget else None}
            for step in self.steps
        ]
        return {
            "limits": asdict(self.limits),
            "load": self.load,
            "queries": self.queries,
            "labelled": self.labelled,
            "alternatives": alternatives,
            "steps": steps,
            "room": self.room,
            "temperature": self.temperature,
            "greedy": self.greedy,
            "learns": self.learns,
            "steered": self.steered,
            "next_vote": self.next_vote._asdict() if self.next_vote else None,
        }


def _offers(curve: ClassCurve, plan: Plan | None, price: float) -> tuple[Arm, ...]:
    if plan is None or plan.setting is None:
        return curve.plan_table(price).arms
    if curve.joint is None:
        return ()
    return tuple(
        Arm(str(each.setting), each.forecast, each.error, price=each.votes.price)
        for each in curve.joint.table(price).plans
    )


def _next_vote(curve: ClassCurve | None, plan: Plan | None, tally: Tally) -> Forecast | None:
    best = joint_plan(curve, plan) if curve and plan else None
    return best.next_vote(tally.standing) if best else None
