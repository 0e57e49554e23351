"""Control, Scaling and Performance of a way to scale test-time compute (s1, section 3.2).

A way is a set of runs on one benchmark. The published values of Scaling come out only with the
base-2 logarithm of thinking tokens and accuracy in percentage points: it is points per doubling.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np


class ScalingRun(NamedTuple):
    """Mean thinking tokens of a run, its accuracy in percent, and the budget that it was given.

    `most` and `least` bound the budget in tokens; None: no bound.
    """

    thinking_tokens: float
    accuracy: float
    most: float | None = None
    least: float | None = None

    @property
    def is_within(self) -> bool:
        """Both bounds belong to the range."""
        above = self.least is None or self.thinking_tokens >= self.least
        return above and (self.most is None or self.thinking_tokens <= self.most)


def control(runs: Sequence[ScalingRun]) -> float:
    """Percent of the runs whose mean thinking keeps within their budget (equation 1)."""
    _refuse_none(runs)
    return 100 * sum(run.is_within for run in runs) / len(runs)


def scaling(runs: Sequence[ScalingRun]) -> float:
    """Mean slope of all pairs, in percentage points per doubling of thinking (equation 2).

    Pairs of equal thinking have no slope and are left out; nan where no pair is left.
    """
    slopes = []
    for one, other in combinations(sorted(runs, key=lambda run: run.thinking_tokens), 2):
        if one.thinking_tokens <= 0:
            raise ValueError(f"thinking_tokens must be positive, got {one.thinking_tokens!r}")
        if one.thinking_tokens < other.thinking_tokens:
            doublings = np.log2(other.thinking_tokens) - np.log2(one.thinking_tokens)
            slopes.append((other.accuracy - one.accuracy) / doublings)
    return float(np.mean(slopes)) if slopes else float("nan")


def performance(runs: Sequence[ScalingRun]) -> float:
    """The best accuracy of all runs, in percent (equation 3)."""
    _refuse_none(runs)
    return max(run.accuracy for run in runs)


def _refuse_none(runs: Sequence[ScalingRun]) -> None:
    if not runs:
        raise ValueError("there are no runs")
