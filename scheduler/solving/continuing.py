"""A query that its policy has left, in a form that can be kept in a file and gone on with.

What a policy decides depends on nothing but the situation. So a query that was stopped because
more was not worth its price goes on where it stands when the price falls: its votes count, and its
chain is extended.
"""

from dataclasses import dataclass
from typing import Any, Self

from pydantic import TypeAdapter

from policies.plan import Plan
from scheduler.solving.outcome import Outcome
from scheduler.solving.rounds import SampleRecord, ballot
from scheduler.solving.run import QueryRun


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The records and the plan of a query; `id` is the one under which its chains were sampled."""

    id: str
    prompt_tokens: int
    plan: Plan | None
    records: tuple[SampleRecord, ...]

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        return cls(outcome.query.id, outcome.prompt_tokens, outcome.plan, outcome.records)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        kept: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", exclude_defaults=True)
        return kept

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> "Unfinished":
        """Raises ValueError for what is none."""
        return _ADAPTER.validate_python(kept)


# Token bytes need not be text.
_ADAPTER = TypeAdapter(Unfinished)


async def restore(run: QueryRun, earlier: Unfinished) -> None:
    """Put a fresh run where a query was left. Its plan now follows the run's own price.

    One that has no plan yet begins anew; what it has cost stays counted.
    """
    run.records.extend(earlier.records)
    run.prompt_tokens = earlier.prompt_tokens
    if earlier.plan is None:
        return
    run.plan = earlier.plan.resumed(run.price / run.query.limits.value)
    for record in earlier.records:
        await run.answers.grouped(record.sample)
        if record.sample.stop_cause not in ("lost", "cancelled"):
            run.tally = run.tally.add(ballot(record))
