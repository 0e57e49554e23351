"""What more thinking would bring beyond all lengths seen: a curve that levels off in log tokens.

Hill's form a0 + (a1 - a0) / (1 + (t50 / t)^h) is logistic in log t; with a1 below a0 it falls, so
thinking may hurt. CLEAR (arXiv 2606.03092) finds the same S-shape. On a grid of (t50, h) the two
levels are a linear fit in closed form; every point of the grid counts by how well it explains what
was seen. So intervals widen on their own where nothing was seen, and nothing can fail to converge.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from policies.curves.arrays import Floats
from policies.curves.counts import Interval
from policies.plan import check_number

STEEPNESS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
HALFWAY = tuple(2.0 ** (half / 2) for half in range(6, 35))
"""Tokens at which half of the way is gone: 8 to 131072."""

_LEVEL = 0.5
_LEVEL_DEVIATION = 0.5
"""Of both levels before anything is seen: anywhere between 0 and 1."""

_GRID = np.array([(half, steep) for half in HALFWAY for steep in STEEPNESS])


class CapPoint(NamedTuple):
    """Accuracy under a cap of so many tokens, known as well as by `weight` checked chains."""

    tokens: float
    accuracy: float
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Hill:
    """A posterior over the grid of G points (t50, h).

    `chances` has the shape (G,) and adds up to 1; `levels` (G, 2) and `spread` (G, 2, 2) are mean
    and covariance of (a0, a1) at each point.
    """

    chances: Floats
    levels: Floats
    spread: Floats

    def at(self, tokens: float) -> float:
        return float(self._moments(tokens)[0])

    def interval(self, tokens: float) -> Interval:
        mean, error = self._moments(tokens)
        return Interval(max(0.0, mean - 2 * error), min(1.0, mean + 2 * error))

    def _moments(self, tokens: float) -> tuple[float, float]:
        share = _share(np.array([tokens]))[:, 0]
        basis = np.stack([1 - share, share], axis=1)
        means = np.clip((basis * self.levels).sum(1), 0.0, 1.0)
        variances = np.einsum("gi,gij,gj->g", basis, self.spread, basis)
        mean = min(1.0, float(self.chances @ means))
        variance = float(self.chances @ (variances + (means - mean) ** 2))
        return mean, math.sqrt(max(0.0, variance))


def fit_hill(seen: Sequence[CapPoint]) -> Hill:
    """Bayes over the grid; points without weight do not count.

    Raises ValueError for an accuracy outside [0, 1], and tokens or a weight that cannot be.
    """
    for one in seen:
        check_number("tokens", one.tokens, above=0, below=math.inf)
        check_number("accuracy", one.accuracy, at_least=0, at_most=1)
        check_number("weight", one.weight, at_least=0, below=math.inf)
    known = np.array([one for one in seen if one.weight > 0]).reshape(-1, 3)
    tokens, accuracy, weight = known.T
    share = _share(tokens)
    basis = np.stack([1 - share, share], axis=2)
    typical = float(weight @ accuracy + _LEVEL) / float(weight.sum() + 1)
    noise = weight / max(0.01, typical * (1 - typical))
    prior = np.eye(2) / _LEVEL_DEVIATION**2
    precision = np.einsum("gni,n,gnj->gij", basis, noise, basis) + prior
    spread = np.linalg.inv(precision)
    centred = accuracy - _LEVEL
    pull = np.einsum("gni,n->gi", basis, noise * centred)
    levels = np.einsum("gij,gj->gi", spread, pull)
    evidence = 0.5 * (np.einsum("gi,gi->g", levels, pull) - np.linalg.slogdet(precision)[1])
    chances = np.exp(evidence - evidence.max())
    return Hill(chances / chances.sum(), levels + _LEVEL, spread)


def _share(tokens: Floats) -> Floats:
    """Share of the way from a0 to a1: (grid point G, tokens N)."""
    half, steep = _GRID.T
    return np.asarray(1 / (1 + (half[:, None] / np.maximum(tokens, 1e-9)) ** steep[:, None]))
