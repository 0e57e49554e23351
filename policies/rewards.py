"""From the rewards of steps to one reward of a chain."""

from collections.abc import Sequence
from math import prod
from statistics import fmean
from typing import Literal

Aggregation = Literal["last", "min", "product", "mean"]


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
