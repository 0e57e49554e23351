"""What a verifier is, and how the rewards of steps become the reward of a chain."""

from collections.abc import Sequence
from math import prod
from statistics import fmean
from typing import Literal, Protocol

Aggregation = Literal["last", "min", "product", "mean"]


class Verifier(Protocol):
    """A process reward model: it judges thinking step by step, finished or not."""

    async def score(self, question: str, thinkings: Sequence[str]) -> list[list[float]]:
        """The reward of every step of every thinking: shape (thinkings, steps of that thinking).

        A reward is the probability that what the chain holds after the step is right, from 0 to 1.
        Steps are those of `steps.step_ends`. The last one ends with the text, so the last reward is
        that of the whole: of a finished chain for a weighted vote, of a prefix for a tree search.
        A thinking without text has no rewards.
        """


def chain_reward(rewards: Sequence[float], how: Aggregation = "last") -> float:
    """One reward of a chain, from 0 to 1; 0 of a chain without steps."""
    if not rewards:
        return 0.0
    match how:
        case "last":
            return rewards[-1]
        case "min":
            return min(rewards)
        case "product":
            return prod(rewards)
        case "mean":
            return fmean(rewards)
