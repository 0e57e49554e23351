"""The tokens of a query by kind."""

from typing import NamedTuple

from scheduler.solving.rounds import SampleRecord
from workers.forcing.chain import UNANSWERED


class TokenUsage(NamedTuple):
    """Every token of a query, by kind.

    `probe` tokens are those of trial answers; `discarded` are dropped stops, and all that a chain
    generated which gave no answer: rejected, unsure, cancelled, lost, or late, or paused and not
    gone on with by one that did.
    """

    reasoning: int
    answer: int
    forced: int
    probe: int
    discarded: int

    @property
    def total(self) -> int:
        return sum(self)


def count_tokens(records: list[SampleRecord]) -> TokenUsage:
    """Of all samples that came back."""
    reasoning = answer = forced = probe = discarded = 0
    used = _used(records)
    for sample, *_ in records:
        forced += sample.forced_tokens
        probe += sample.probe_tokens
        discarded += sample.discarded_tokens
        useful = sample.generated_tokens - sample.discarded_tokens
        if sample.stop_cause in UNANSWERED and sample.chain not in used:
            discarded += useful
        elif sample.stop_cause == "paused":
            reasoning += useful
        else:
            answer += sample.answer_tokens
            reasoning += useful - sample.answer_tokens
    return TokenUsage(reasoning, answer, forced, probe, discarded)


def _used(records: list[SampleRecord]) -> set[int]:
    """Paused chains whose thinking an answered chain has gone on from, be it over others."""
    parents = {record.sample.chain: record.parent for record in records}
    used: set[int] = set()
    for record in records:
        parent = record.parent if record.sample.stop_cause not in UNANSWERED else None
        while parent is not None and parent not in used and parent != record.sample.chain:
            used.add(parent)
            parent = parents.get(parent)
    return used
