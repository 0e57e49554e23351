"""Tokens at equal accuracy with their bootstrap, of queries that are summed up by question."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.frontier import Estimate, Floats, SettingMean, estimate, tokens_at

LEVELS = (0.4, 0.6, 0.8)
REPLICATES = 300
FIXED = "fixed"


class Part(NamedTuple):
    """Queries of one comparison, summed up by cell, which is a seed and a question.

    `sums` by family: setting, cell, and (right, tokens); `goals` says how these are judged.
    """

    name: str
    sums: Mapping[str, Floats]
    counts: Floats
    cells: Sequence[tuple[int, int]]
    goals: Mapping[str, float]


def replicated(part: Part) -> list[dict[str, list[SettingMean]]]:
    """Accuracy and tokens of every setting by family: as it is, then by bootstrap replicate."""
    rng = np.random.default_rng(0)
    drawn = np.ones((REPLICATES + 1, len(part.cells)))
    for column in np.array(part.cells).T:
        _, names = np.unique(column, return_inverse=True)
        many = names.max() + 1
        drawn[1:] *= rng.multinomial(many, np.full(many, 1 / many), REPLICATES)[:, names]
    total = np.maximum(drawn @ part.counts, 1e-12)
    means = {f: np.einsum("bc,scv->bsv", drawn, sums) for f, sums in part.sums.items()}
    return [
        {
            family: [SettingMean(*point) for point in each[row] / total[row]]
            for family, each in means.items()
        }
        for row in range(REPLICATES + 1)
    ]


def levels(fixed: Sequence[SettingMean]) -> list[float]:
    """Accuracies that caps, or mixes of two, reach with shares of the tokens of the best cap."""
    best = max(fixed).tokens
    return [accuracy_at(fixed, share * best) for share in LEVELS]


def accuracy_at(settings: Sequence[SettingMean], tokens: float) -> float:
    """The highest that one of the settings, or a mix of two, reaches with so many tokens."""
    below = [one for one in settings if one.tokens <= tokens]
    above = [one for one in settings if one.tokens > tokens]
    highest = max((one.accuracy for one in below), default=0.0)
    for low in below:
        for high in above:
            part = (tokens - low.tokens) / (high.tokens - low.tokens)
            highest = max(highest, low.accuracy + part * (high.accuracy - low.accuracy))
    return highest


def ratios(part: Part, ours: str, peers: Sequence[str]) -> dict[str, list[Estimate]]:
    """Tokens of ours over those of each family: at each level, then the worst."""
    rows: dict[str, list[list[float]]] = {}
    for families in replicated(part):
        at = levels(families[FIXED])
        mine = [tokens_at(families[ours], accuracy) for accuracy in at]
        theirs = {
            family: [tokens_at(families[family], accuracy) for accuracy in at]
            for family in (FIXED, *peers)
        }
        theirs["peers"] = [min(each) for each in zip(*(theirs[p] for p in peers), strict=True)]
        for family, other in theirs.items():
            row = [_ratio(*pair) for pair in zip(mine, other, strict=True)]
            rows.setdefault(family, []).append([*row, max(row)])
    return {f: [estimate(column) for column in zip(*row, strict=True)] for f, row in rows.items()}


def _ratio(ours: float, theirs: float) -> float:
    """Not to be reached by us is the worst there is; by them alone, the best."""
    if not math.isfinite(ours):
        return math.inf
    return ours / theirs if math.isfinite(theirs) else 0.0
