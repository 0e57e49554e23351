"""From the rewards of steps to one reward of a chain, and to what its vote counts."""

from collections.abc import Iterable, Sequence
from math import prod
from statistics import fmean
from typing import Literal

from policies.tally import Vote

Aggregation = Literal["last", "min", "product", "mean"]
Selection = Literal["best", "weighted", "majority"]
LEAST_WEIGHT = 1e-6


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


def weights(
    votes: Iterable[Vote], choose: Selection, how: Aggregation
) -> tuple[tuple[int, float], ...] | None:
    """What each chain's vote counts, for `Stop`; None: all the same.

    "weighted": its reward (Wu et al., arXiv 2408.00724: weighted majority). "best": only that of
    the highest reward counts, of several the first drawn.
    """
    if choose == "majority":
        return None
    # A vote of weight 0 is none, and one that the verifier thinks nothing of is one.
    found = {
        vote.chain: max(LEAST_WEIGHT, chain_reward(vote.rewards or (), how))
        for vote in votes
        if vote.answer is not None
    }
    if choose == "best" and found:
        return ((max(sorted(found), key=found.__getitem__), 1.0),)
    return tuple(found.items())
