"""A lower bound on a mean that holds at every moment at once, so that one may look and stop.

A wealth process bets against "the mean is at most m": with bets that were fixed before each
observation it is a supermartingale if that is true, and rises above 1 / error with a probability of
at most `error`, ever (Ville). The bound is the least m against which it has not. Bets are the
predictable plug-ins of Waudby-Smith and Ramdas (arXiv 2010.09686, section 4.3), of the empirical
variance. It needs no model and no number of observations that would make it hold.
"""

import math
from typing import NamedTuple

import numpy as np

from policies.curves.arrays import Floats

ERROR = 0.05
_HALVINGS = 40
_FARTHEST = 10_000_000
_GRID = 4000


class Bounds(NamedTuple):
    """Of a mean; each side holds with 95 % at all moments."""

    mean: float
    low: float
    high: float
    observations: int


def bounds(values: Floats, *, most: float, error: float = ERROR) -> Bounds:
    """Of values in [-most, most], in the order in which they came; of no values [-most, most].

    Raises ValueError for a value out of range.
    """
    if len(values) and not (np.abs(values) <= most).all():
        worst = values[np.abs(values).argmax()]
        raise ValueError(f"values must be within {-most:g} and {most:g}, got {worst:g}")
    if not len(values):
        return Bounds(math.nan, -most, most, 0)
    return Bounds(
        float(values.mean()),
        _lower(values, most, error),
        -_lower(-values, most, error),
        len(values),
    )


def likely_needed(
    values: Floats, margin: float, *, most: float, error: float = ERROR
) -> int | None:
    """Observations in all until the lower bound is likely above -margin, if the mean and the spread
    stay as they are; None: it will likely never be.
    """
    if not len(values):
        return None
    gap, variance = float(values.mean()) + margin, _spread(values, most)[-1]
    if gap <= 0:
        return None
    # Where the wealth of bets against -margin is expected to pass 1 / error.
    counts = np.array([_FARTHEST ** (at / _GRID) for at in range(_GRID + 1)], np.float64)
    bets = _bets(variance, counts, most, error)
    steps = np.diff(counts, prepend=0.0)
    logs = np.cumsum(steps * (bets * gap - bets**2 * (variance + gap**2) / 2))
    passed = np.flatnonzero(logs >= -math.log(error))
    return math.ceil(counts[passed[0]]) if len(passed) else None


def _lower(values: Floats, most: float, error: float) -> float:
    counts = np.arange(1, len(values) + 1).astype(np.float64)
    before = np.append(_first(most), _spread(values, most)[:-1])
    bets = _bets(before, counts, most, error)

    def wealth(m: float) -> float:
        return float(np.log1p(bets * (values - m)).sum())

    low, high, enough = -most, most, -math.log(error)
    if wealth(low) < enough:
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if wealth(middle) >= enough else (low, middle)
    return low


def _spread(values: Floats, most: float) -> Floats:
    """The variance after each value, as if one value had been seen before."""
    counts = np.arange(1, len(values) + 1).astype(np.float64)
    means = np.cumsum(values) / (counts + 1)
    squares: Floats = (_first(most) + np.cumsum((values - means) ** 2)) / (counts + 1)
    return squares


def _first(most: float) -> float:
    """The variance to begin with: nearly that of a weighted difference of rewards of 0 and 1."""
    return min(most**2 / 4, most / 2)


def _bets(variance: Floats | float, counts: Floats, most: float, error: float) -> Floats:
    """Below 1 / (2 most), so that no value within range loses all."""
    wanted = np.sqrt(-2 * math.log(error) / (variance * counts * np.log1p(counts)))
    bets: Floats = np.minimum(wanted, 0.5 / (2 * most))
    return bets
