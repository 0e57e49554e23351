"""What the decisions of one query were made from, as the outcome log holds it."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

from policies.base import Limits
from policies.curves.chance import next_extension, plan_option
from policies.curves.curve import ClassCurve
from policies.curves.extension_rule import NextExtension
from policies.plan import Forecast, Plan
from policies.tally import Tally
from scheduler.solving.rounds import DecisionStep
from scheduler.solving.run import QueryRun


class Alternative(NamedTuple):
    """One plan that the class's curve offered; `error` is the standard error of its accuracy."""

    name: str
    forecast: Forecast
    error: float


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """What the decisions were made from, so that other policies can be replayed on the log.

    `alternatives` are the plans that the class's curve offered at this query's price, best
    first; the curve stood on so many `queries` and `labelled` ones. `steps` are the decisions.
    `room` is the context in tokens, `temperature` what the caller asked for; `greedy` and `learns`
    are those of the `Situation`. `steered` is whether chains were changed otherwise than by a cap
    or an extension: their samples tell nothing of other policies.
    """

    limits: Limits
    load: float
    queries: float
    labelled: float
    alternatives: tuple[Alternative, ...]
    steps: tuple[DecisionStep, ...]
    room: int
    temperature: float | None
    greedy: bool
    learns: bool
    steered: bool
    #: What one more vote would have brought, and its tokens; None for other policies than `priced`.
    next_vote: Forecast | None = None
    #: The same of one more extension, of plans that extend a single chain while that pays.
    next_extension: NextExtension | None = None

    @classmethod
    def of(cls, run: QueryRun) -> Self:
        curve, limits = run.curve, run.query.limits
        price = run.price / limits.value
        offers = _offers(curve, price) if curve and run.price else ()
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
            next_extension(curve, run.plan, run.tally) if curve and run.plan else None,
        )

    def as_dict(self) -> dict[str, Any]:
        alternatives = [
            {
                "name": each.name,
                "accuracy": round(each.forecast.accuracy, 5),
                "error": round(each.error, 5),
                "tokens": round(each.forecast.tokens, 2),
            }
            for each in self.alternatives
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
            "next_extension": _as_dict(self.next_extension) if self.next_extension else None,
        }


def _as_dict(extension: NextExtension) -> dict[str, Any]:
    return extension._asdict() | {"forecast": extension.forecast._asdict()}


def _offers(curve: ClassCurve, price: float) -> tuple[Alternative, ...]:
    plans = curve.plan_table(price).plans
    return tuple(Alternative(str(each), each.forecast, each.error) for each in plans)


def _next_vote(curve: ClassCurve | None, plan: Plan | None, tally: Tally) -> Forecast | None:
    best = plan_option(curve, plan) if curve and plan else None
    return best.next_vote(tally.standing) if best else None
