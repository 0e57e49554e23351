"""What the decisions of one query were made from, as the outcome log holds it."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from policies.base import Limits
from policies.curves.plan_table import Arm
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

    @classmethod
    def of(cls, run: QueryRun) -> Self:
        curve, limits = run.curve, run.query.limits
        offers = curve.plan_table(run.price / limits.value).arms if curve and run.price else ()
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
        }
