"""The bootstrap over questions, and the test that goes with paired differences."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from policies.curves.arrays import Floats

RESAMPLES = 2000
LEVEL = 0.95
_AT_ONCE = 1000


class Estimate(NamedTuple):
    """A value and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


def resampled(questions: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """How often each question is drawn: resamples x questions."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(questions, size=(resamples, questions))
    drawn += questions * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * questions)
    return counts.reshape(resamples, questions).astype(np.float64)


def ratios(weights: Floats, above: Floats, below: Floats) -> Floats:
    """Sums over resampled questions, divided: `above` and `below` are ... x questions.

    The result is ... x resamples; nan where nothing was asked.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return (above @ weights.T) / (below @ weights.T)


def interval(value: float, drawn: Floats) -> Estimate:
    """The percentile interval of resampled values; infinite ones count, undefined ones do not."""
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return Estimate(value, np.nan, np.nan)
    tail = (1 - LEVEL) / 2
    # Without interpolation, which has no meaning between a number and infinity.
    low, high = np.quantile(known, (tail, 1 - tail), method="nearest")
    return Estimate(value, float(low), float(high))


def share(value: float, drawn: Floats, questions: int) -> Estimate:
    """The interval of a share. Where all are right, or none, Wilson's over the questions."""
    if value in (0.0, 1.0):
        span = binomtest(round(value * questions), questions).proportion_ci(LEVEL, method="wilson")
        return Estimate(value, float(span.low), float(span.high))
    return interval(value, drawn)


def sign_flip_p(differences: Floats, *, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of a mean difference of 0: each question's sign is flipped at random."""
    known = differences[differences != 0]
    if not len(known):
        return 1.0
    rng = np.random.default_rng(seed)
    reached, least = 0, abs(known.sum()) * (1 - 1e-12)
    for begun in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - begun), len(known)
        signs = rng.integers(2, size=size, dtype=np.int8) * np.float64(2) - 1
        reached += int((np.abs(signs @ known) >= least).sum())
    return (reached + 1) / (resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, corrected so that any false rejection is as rare (Holm, 1979)."""
    order = sorted(range(len(p_values)), key=lambda n: p_values[n])
    found, most = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = most
    return found
