"""Accuracy against tokens: the hull of what mixes of policies reach, and distances to it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from policies.curves.arrays import Floats
from scheduler.experiments.metrics.bootstrap import Estimate, interval, ratios, resampled
from scheduler.experiments.metrics.table import ScoreTable


class Point(NamedTuple):
    """Mean tokens of a question, and the share of right answers."""

    tokens: float
    accuracy: float


def hull(points: Sequence[Point]) -> list[Point]:
    """The upper concave hull: mixing two settings at random reaches every point between them."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda each: (each.tokens, -each.accuracy)):
        if kept and point.accuracy <= kept[-1].accuracy:
            continue
        while len(kept) > 1 and _slope(kept[-2], kept[-1]) <= _slope(kept[-1], point):
            kept.pop()
        kept.append(point)
    return kept


def tokens_for(points: Sequence[Point], accuracy: float) -> float:
    """Mean tokens that the best mix needs for an accuracy; infinite above the best setting."""
    line = hull(points)
    if not line or accuracy > line[-1].accuracy:
        return np.inf
    return float(np.interp(accuracy, [p.accuracy for p in line], [p.tokens for p in line]))


def accuracy_at(points: Sequence[Point], tokens: Floats) -> Floats:
    """What the best mix reaches at so many tokens; nan below the cheapest setting."""
    line = hull(points)
    return np.interp(tokens, [p.tokens for p in line], [p.accuracy for p in line], left=np.nan)


def tokens_at_equal_accuracy(table: ScoreTable, policy: str, *, others: Sequence[str]) -> Estimate:
    """Tokens of a policy, divided by those of the best mix of the others at its accuracy.

    0 where no mix of them reaches it. nan where they all take more tokens for a higher accuracy:
    then there is nothing to compare with.
    """
    rows = [table.place(policy), *(table.place(other) for other in others)]
    whole = _points(table, rows, np.ones((1, len(table.questions))))[0]
    drawn = _points(table, rows, resampled(len(table.questions), resamples=1000))
    return interval(_against(whole), np.array([_against(points) for points in drawn]))


def against_the_rest(table: ScoreTable) -> dict[str, Estimate]:
    """`tokens_at_equal_accuracy` of every policy against all others."""
    every = range(len(table.policies))
    whole = _points(table, every, np.ones((1, len(table.questions))))[0]
    drawn = _points(table, every, resampled(len(table.questions), resamples=1000))

    def ratio(points: Sequence[Point], at: int) -> float:
        return _against([points[at], *points[:at], *points[at + 1 :]])

    return {
        policy: interval(ratio(whole, at), np.array([ratio(points, at) for points in drawn]))
        for at, policy in enumerate(table.policies)
        if len(every) > 1
    }


def area_between(table: ScoreTable, a: Sequence[str], b: Sequence[str]) -> Estimate:
    """Mean accuracy of the mixes of `a` minus that of `b`, over the range of log tokens that both
    cover: the area between the curves, divided by its width. nan where they cover none.
    """
    rows = [table.place(policy) for policy in (*a, *b)]

    def gap(points: Sequence[Point]) -> float:
        one, other = points[: len(a)], points[len(a) :]
        low = max(min(p.tokens for p in one), min(p.tokens for p in other))
        high = min(max(p.tokens for p in hull(one)), max(p.tokens for p in hull(other)))
        if not low < high:
            return np.nan
        tokens = np.geomspace(low, high, 100)
        return float(np.mean(accuracy_at(one, tokens) - accuracy_at(other, tokens)))

    whole = _points(table, rows, np.ones((1, len(table.questions))))[0]
    drawn = _points(table, rows, resampled(len(table.questions), resamples=1000))
    return interval(gap(whole), np.array([gap(points) for points in drawn]))


def _against(points: Sequence[Point]) -> float:
    own, others = points[0], points[1:]
    cheapest = min(others, key=lambda each: each.tokens)
    if own.accuracy < cheapest.accuracy:
        return np.nan
    needed = tokens_for(others, own.accuracy)
    return 0.0 if np.isinf(needed) else own.tokens / needed


def _points(table: ScoreTable, rows: Sequence[int], weights: Floats) -> list[list[Point]]:
    """By resample."""
    asked = table.asked[rows]
    tokens = ratios(weights, table.tokens[rows], asked).T
    accuracy = ratios(weights, table.correct[rows], asked).T
    return [
        [Point(float(t), float(a)) for t, a in zip(*pair, strict=True)]
        for pair in zip(tokens, accuracy, strict=True)
    ]


def _slope(left: Point, right: Point) -> float:
    return (right.accuracy - left.accuracy) / max(right.tokens - left.tokens, 1e-9)
