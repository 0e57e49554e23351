"""One answered query, as it is logged: what was decided, what it cost, and how it turned out."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from policies.base import Query, Stop
from policies.curve import Observation
from policies.plan import Plan
from scheduler.run import Record, Run
from workers.answer import is_right
from workers.sample import Sample


class Tokens(NamedTuple):
    """Every token of a query, by kind; `discarded` are dropped stops and chains cut short."""

    reasoning: int
    answer: int
    forced: int
    discarded: int

    @property
    def total(self) -> int:
        return sum(self)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`correct` is None without a reference; `price` is the accuracy a token had to buy."""

    query: Query
    model: str
    policy: str
    plan: Plan | None
    stop_reason: str
    answer: str | None
    chosen: Sample | None
    agreement: float
    prompt_tokens: int
    tokens: Tokens
    seconds: float
    price: float
    correct: bool | None
    records: tuple[Record, ...]

    @property
    def violations(self) -> tuple[str, ...]:
        return tuple(v for record in self.records for v in record.sample.violations)

    def as_dict(self) -> dict[str, Any]:
        """One line of the outcome log."""
        plan = None
        if self.plan:
            forecast = self.plan.forecast
            plan = asdict(self.plan) | {"forecast": forecast._asdict() if forecast else None}
        return {
            "id": self.query.id,
            "question": self.query.messages[-1].content,
            "class": self.query.query_class,
            "reference": self.query.reference,
            "model": self.model,
            "policy": self.policy,
            "plan": plan,
            "stop_reason": self.stop_reason,
            "answer": self.answer,
            "correct": self.correct,
            "agreement": self.agreement,
            "tokens": self.tokens._asdict() | {"total": self.tokens.total},
            "seconds": round(self.seconds, 4),
            "price": self.price,
            "violations": list(self.violations),
            "samples": [_line(record) for record in self.records],
        }


def conclude(run: Run, stop: Stop, *, model: str, policy: str) -> Outcome:
    """What a finished run comes to: the leader's answer, in the words of its cheapest chain."""
    leader = run.tally.leader
    behind = [sample for sample in run.samples.values() if sample.answer == leader]
    chosen = min(behind, key=lambda sample: sample.thinking_tokens, default=None)
    reference = run.query.reference
    return Outcome(
        query=run.query,
        model=model,
        policy=policy,
        plan=run.plan,
        stop_reason=stop.reason,
        answer=leader,
        chosen=chosen,
        agreement=run.tally.agreement,
        prompt_tokens=run.prompt_tokens,
        tokens=_count(run.records),
        seconds=run.seconds,
        price=run.price,
        correct=None if reference is None else is_right(leader, reference),
        records=tuple(run.records),
    )


def observation(run: Run) -> Observation | None:
    """What the curve may learn of a run; None when no chain finished."""
    if run.plan is None or not run.tally.history:
        return None
    right: dict[str, bool] = {}
    if run.query.reference is not None:
        answers = {ballot.answer for ballot in run.tally.history if ballot.answer is not None}
        right = {answer: is_right(answer, run.query.reference) for answer in answers}
    temperature = run.records[0].temperature
    return Observation(
        run.query.query_class,
        run.tally.history,
        run.plan.budget,
        temperature,
        run.plan,
        right,
    )


def read_outcomes(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of an outcome log; a torn last line, as a crash leaves it, is skipped."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def _count(records: list[Record]) -> Tokens:
    """Generated tokens of chains that were cut short count as discarded."""
    reasoning = answer = forced = discarded = 0
    for sample, *_ in records:
        forced += sample.forced_tokens
        discarded += sample.discarded_tokens
        useful = sample.generated_tokens - sample.discarded_tokens
        if sample.stop_cause in ("cancelled", "lost"):
            discarded += useful
        else:
            answer += sample.answer_tokens
            reasoning += useful - sample.answer_tokens
    return Tokens(reasoning, answer, forced, discarded)


def _line(record: Record) -> dict[str, Any]:
    sample = record.sample
    return {
        "chain": sample.chain,
        "temperature": record.temperature,
        "extensions": sample.extensions,
        "answer": sample.answer,
        "stop_cause": sample.stop_cause,
        "thinking_tokens": sample.thinking_tokens,
        "answer_tokens": sample.answer_tokens,
        "tokens": sample.tokens,
        "chain_tokens": record.chain_tokens,
        "seconds": round(sample.seconds, 4),
        "replica": sample.replica,
    }
