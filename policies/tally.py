"""The vote so far: which answers the chains of one query gave, and what they cost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from policies.signals import Confidence


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one chain says at one of its ends; an extended chain casts again under the same number.

    `tokens` counts everything generated for the chain up to here, answers included;
    `answer` is None when the chain gave none: then it is the record of a try and casts no vote.
    """

    chain: int
    answer: str | None
    tokens: int
    thinking_tokens: int
    extensions: int = 0
    stop_cause: str = "natural"
    weight: float = 1.0
    confidence: Confidence | None = None


class Standing(NamedTuple):
    """Vote counts of the leader, the runner-up and all the rest, as in arXiv 2602.05395."""

    leader: int
    runner_up: int
    rest: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Ballots in the order of their arrival. Adding gives a new Tally."""

    history: tuple[Ballot, ...] = ()

    def add(self, ballot: Ballot) -> "Tally":
        return Tally((*self.history, ballot))

    def weighed(self, weights: Mapping[int, float]) -> "Tally":
        """The same ballots with other weights, by chain; chains that are not named have no vote."""
        return Tally(tuple(replace(b, weight=weights.get(b.chain, 0.0)) for b in self.history))

    @property
    def ballots(self) -> tuple[Ballot, ...]:
        """The last word of every chain, in the order in which the chains first finished."""
        last = {ballot.chain: ballot for ballot in self.history}
        return tuple(last.values())

    @property
    def voting(self) -> tuple[Ballot, ...]:
        return tuple(b for b in self.ballots if b.answer is not None and b.weight > 0)

    def votes(self) -> dict[str, float]:
        """Weight of every answer, in the order in which the answers first came up."""
        votes: dict[str, float] = {}
        for ballot in {ballot.chain: ballot for ballot in self.history}.values():
            if ballot.answer is not None and ballot.weight > 0:
                votes[ballot.answer] = votes.get(ballot.answer, 0.0) + ballot.weight
        return votes

    @property
    def leader(self) -> str | None:
        """The answer with most weight; on a tie, the one that came up first (s1's majority)."""
        votes = self.votes()
        return max(votes, key=votes.__getitem__) if votes else None

    @property
    def standing(self) -> Standing:
        counts: dict[str | None, int] = {}
        for ballot in self.voting:
            counts[ballot.answer] = counts.get(ballot.answer, 0) + 1
        first, second, *rest = sorted(counts.values(), reverse=True) + [0, 0]
        return Standing(first, second, sum(rest))

    @property
    def agreement(self) -> float:
        """Share of the voting weight behind the leader; 0 without a vote."""
        votes = self.votes()
        return max(votes.values()) / sum(votes.values()) if votes else 0.0

    @property
    def tokens(self) -> int:
        return sum(ballot.tokens for ballot in self.ballots)
