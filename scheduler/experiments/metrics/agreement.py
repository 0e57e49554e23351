"""Whether two engines rank the same policies alike: Kendall's tau, with intervals over questions.

Tau-b: of every two policies, those in the same order less those in the opposite one, as a share of
all that are not tied. 1 is the same ranking, 0 none, -1 the reverse.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from policies.curves.arrays import Floats
from scheduler.experiments.metrics.bootstrap import Estimate, interval, ratios, resampled
from scheduler.experiments.metrics.table import ScoreTable


class Agreement(NamedTuple):
    """Of the rankings that two engines give so many policies."""

    policies: int
    accuracy: Estimate
    tokens: Estimate


class Swap(NamedTuple):
    """Policies `a` and `b`, which two engines put in opposite orders by a measure.

    `one` and `other` are a's less b's in each engine.
    """

    measure: str
    a: str
    b: str
    one: Estimate
    other: Estimate

    @property
    def is_beyond_chance(self) -> bool:
        """Whether neither interval has 0 in it."""
        return all(each.low > 0 or each.high < 0 for each in (self.one, self.other))


class _Measured(NamedTuple):
    """By policy: means over questions, and those of every resample (policies x resamples)."""

    means: Floats
    drawn: Floats


def kendall_tau(one: Floats, other: Floats) -> Floats:
    """Tau-b over the last axis (policies); nan where one of the two has only ties."""
    pairs = np.array(list(combinations(range(one.shape[-1]), 2))).T
    first, second = (np.sign(each[..., pairs[0]] - each[..., pairs[1]]) for each in (one, other))
    with np.errstate(invalid="ignore"):
        whole = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
        return np.asarray((first * second).sum(axis=-1) / whole)


def agreement(one: ScoreTable, other: ScoreTable) -> tuple[Agreement, list[Swap]]:
    """Questions that both engines were asked are drawn together, others by themselves.

    Raises ValueError where they have fewer than two policies in common.
    """
    common = [policy for policy in one.policies if policy in other.policies]
    if len(common) < 2:
        raise ValueError("a ranking needs two policies that both engines were asked with")
    found, swaps = [], list[Swap]()
    for measure in ("accuracy", "tokens"):
        first, second = _measured(one, other, common, measure)
        tau = float(kendall_tau(first.means, second.means))
        found.append(interval(tau, kendall_tau(first.drawn.T, second.drawn.T)))
        swaps += _swaps(measure, common, first, second)
    return Agreement(len(common), *found), swaps


def _measured(
    one: ScoreTable, other: ScoreTable, policies: Sequence[str], measure: str
) -> tuple[_Measured, _Measured]:
    names = [[each.partition("/")[2] for each in table.questions] for table in (one, other)]
    paired = sorted(names[0]) == sorted(names[1])
    made = []
    for seed, (table, asked) in enumerate(zip((one, other), names, strict=True)):
        order = np.argsort(np.array(asked)) if paired else np.arange(len(asked))
        rows = [table.place(policy) for policy in policies]
        sums = table.correct if measure == "accuracy" else table.tokens
        above, below = sums[rows][:, order], table.asked[rows][:, order]
        weights = resampled(len(asked), seed=0 if paired else seed)
        means = above.sum(axis=1) / below.sum(axis=1)
        made.append(_Measured(means, ratios(weights, above, below)))
    return made[0], made[1]


def _swaps(measure: str, policies: Sequence[str], one: _Measured, other: _Measured) -> list[Swap]:
    found = []
    for a, b in combinations(range(len(policies)), 2):
        first, second = (
            interval(float(each.means[a] - each.means[b]), each.drawn[a] - each.drawn[b])
            for each in (one, other)
        )
        if first.value * second.value < 0:
            found.append(Swap(measure, policies[a], policies[b], first, second))
    return found
