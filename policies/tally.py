"""The vote so far: which answers the chains of one query gave, and what they cost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from policies.signals import Confidence


@dataclass(frozen=True, slots=True)
class Vote:
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
    #: The chain whose thinking it went on from.
    parent: int | None = None
    #: Of the steps of its thinking, by the verifier; None where nobody asked for them.
    rewards: tuple[float, ...] | None = None

    @property
    def ended_by_itself(self) -> bool:
        """Whether the model ended its thinking, at last after forced extensions."""
        return self.stop_cause in ("natural", "extensions")


class VoteStanding(NamedTuple):
    """Vote counts of the leader, the runner-up and all the rest, as in arXiv 2602.05395."""

    leader: int
    runner_up: int
    rest: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Ballots in the order of their arrival. Adding gives a new Tally."""

    history: tuple[Vote, ...] = ()

    def add(self, vote: Vote) -> "Tally":
        return Tally((*self.history, vote))

    def weighed(self, weights: Mapping[int, float]) -> "Tally":
        """The same ballots with other weights, by chain; chains that are not named have no vote."""
        return Tally(tuple(replace(b, weight=weights.get(b.chain, 0.0)) for b in self.history))

    def rewarded(self, rewards: Mapping[int, tuple[float, ...]]) -> "Tally":
        """The same ballots with these rewards, by chain; others keep theirs."""
        return Tally(
            tuple(replace(b, rewards=rewards.get(b.chain, b.rewards)) for b in self.history)
        )

    @property
    def votes(self) -> tuple[Vote, ...]:
        """The last word of every chain, in the order in which the chains first finished."""
        last = {vote.chain: vote for vote in self.history}
        return tuple(last.values())

    @property
    def voting(self) -> tuple[Vote, ...]:
        return tuple(b for b in self.votes if b.answer is not None and b.weight > 0)

    def weight_by_answer(self) -> dict[str, float]:
        """Weight of every answer, in the order in which the answers first came up."""
        weights: dict[str, float] = {}
        for vote in {vote.chain: vote for vote in self.history}.values():
            if vote.answer is not None and vote.weight > 0:
                weights[vote.answer] = weights.get(vote.answer, 0.0) + vote.weight
        return weights

    @property
    def leader(self) -> str | None:
        """The answer with most weight; on a tie, the one that came up first (s1's majority)."""
        weights = self.weight_by_answer()
        return max(weights, key=weights.__getitem__) if weights else None

    @property
    def standing(self) -> VoteStanding:
        counts: dict[str | None, int] = {}
        for vote in self.voting:
            counts[vote.answer] = counts.get(vote.answer, 0) + 1
        first, second, *rest = sorted(counts.values(), reverse=True) + [0, 0]
        return VoteStanding(first, second, sum(rest))

    @property
    def agreement(self) -> float:
        """Share of the voting weight behind the leader; 0 without a vote."""
        weights = self.weight_by_answer()
        return max(weights.values()) / sum(weights.values()) if weights else 0.0

    @property
    def tokens(self) -> int:
        return sum(vote.tokens for vote in self.votes)
