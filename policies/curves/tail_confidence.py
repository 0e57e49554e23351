"""What the tail confidence of the thinking tells of an end's answer.

At every number of extensions the confidences of right and of wrong answers are taken to be normal,
with one variance (linear discriminant analysis), so each nat shifts the log-odds by as much. Their
means come from labelled answers, shrunk to all extensions together; the rest, from all answers.
The sign is learned: with few of the likeliest tokens, a higher figure means a less sure model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from policies.curves.arrays import Floats
from policies.curves.counts import Counts
from policies.curves.extension_counts import MAX_EXTENSIONS
from policies.tally import Vote

LEAST_GAIN = 3.0
"""Of log-likelihood: what the confidences must tell before they are used."""
NODES = 5
_POOLED, _LEAST_DEVIATION = 4.0, 1e-3
_MOST_DISTANCE, _MOST_LOG_ODDS = 3.0, 4.0
_ENDS = MAX_EXTENSIONS + 1


def _row() -> list[float]:
    return [0.0] * _ENDS


@dataclass(slots=True)
class TailCounts(Counts):
    """Sums by number of extensions."""

    #: Ends with a tail confidence, the sum of it, and the sum of its squares.
    ends: list[float] = field(default_factory=_row)
    total: list[float] = field(default_factory=_row)
    squares: list[float] = field(default_factory=_row)
    #: Ends labelled right, and the sum of their confidence.
    right: list[float] = field(default_factory=_row)
    right_total: list[float] = field(default_factory=_row)
    #: Ends labelled wrong, and the sum of their confidence.
    wrong: list[float] = field(default_factory=_row)
    wrong_total: list[float] = field(default_factory=_row)

    def observe(self, ends: Sequence[Vote], right: Sequence[bool | None]) -> None:
        """One chain: its ends from 0 extensions on, none missing, and their labels."""
        for at, (end, known) in enumerate(zip(ends[:_ENDS], right, strict=False)):
            if (tail := tail_of(end)) is None:
                continue
            self.ends[at] += 1.0
            self.total[at] += tail
            self.squares[at] += tail * tail
            if known is not None:
                counts, totals = (
                    (self.right, self.right_total) if known else (self.wrong, self.wrong_total)
                )
                counts[at] += 1.0
                totals[at] += tail


class TailConfidence(NamedTuple):
    """Fitted. Tuples by number of extensions."""

    #: Mean of right answers less that of wrong ones, over the deviation within each.
    distance: tuple[float, ...]
    #: The confidence that is as likely for a right answer as for a wrong one.
    middle: tuple[float, ...]
    #: Standard deviation of the right, and of the wrong ones.
    deviation: tuple[float, ...]

    def chance(self, prior: float, extensions: int, tail: float) -> float:
        """That an answer with this tail confidence is right."""
        distance = self.distance[extensions]
        shift = distance * (tail - self.middle[extensions]) / self.deviation[extensions]
        return _shifted(prior, shift)

    def outlook(self, prior: float, extensions: int) -> tuple[Floats, Floats]:
        """Before the confidence is known: chances that it may leave, and the weight of each."""
        distance = abs(self.distance[extensions])
        if not distance:
            return np.array([prior]), np.ones(1)
        around, halves = distance * _AT, distance**2 / 2
        shift = np.concatenate([halves + around, around - halves])
        chances = [_shifted(prior, each) for each in shift.tolist()]
        return np.array(chances), np.concatenate([prior * _WEIGHTS, (1 - prior) * _WEIGHTS])


_AT, _SHARES = np.polynomial.hermite_e.hermegauss(NODES)
_WEIGHTS = _SHARES / _SHARES.sum()


def _shifted(prior: float, log_odds: float) -> float:
    log_odds = max(-_MOST_LOG_ODDS, min(_MOST_LOG_ODDS, log_odds))
    odds = prior / max(1e-9, 1 - prior) * math.exp(log_odds)
    return odds / (1 + odds)


def tail_of(end: Vote) -> float | None:
    return end.confidence.tail if end.confidence else None


def fit_tail(counts: TailCounts, parent: TailCounts | None = None) -> TailConfidence | None:
    """None where it tells too little; a class without enough leans on its parent."""
    own, usual = _differences(counts), _differences(parent or TailCounts())
    mean = (usual.weight * usual.of).sum() / max(1e-9, usual.weight.sum())
    pooled = ((own.weight * own.of).sum() + _POOLED * mean) / (own.weight.sum() + _POOLED)
    difference = (own.weight * own.of + _POOLED * pooled) / (own.weight + _POOLED)
    ends, total, squares = _sums(counts, parent)
    centre, share = total / np.maximum(1.0, ends), _share_right(counts, parent)
    within = squares / np.maximum(1.0, ends) - centre**2 - share * (1 - share) * difference**2
    around = (ends * within).sum() / max(1.0, ends.sum())
    within = (ends * within + _POOLED * around) / (ends + _POOLED)
    deviation = np.sqrt(np.maximum(_LEAST_DEVIATION**2, within))
    distance = np.clip(difference / deviation, -_MOST_DISTANCE, _MOST_DISTANCE)
    distance[ends < _POOLED] = 0.0
    if ((own.weight + usual.weight) * distance**2).sum() / 2 < LEAST_GAIN:
        return None
    middle = centre + (0.5 - share) * difference
    return TailConfidence(*(tuple(each.tolist()) for each in (distance, middle, deviation)))


def _sums(counts: TailCounts, parent: TailCounts | None) -> list[Floats]:
    """Ends, their total and squares; the parent's count as a few ends more."""
    sums = [np.array(row) for row in (counts.ends, counts.total, counts.squares)]
    if parent is not None:
        weight = _POOLED / np.maximum(_POOLED, parent.ends)
        rows = (parent.ends, parent.total, parent.squares)
        sums = [own + weight * np.array(row) for own, row in zip(sums, rows, strict=True)]
    return sums


class _Differences(NamedTuple):
    """By extensions: mean of right answers less that of wrong ones, and how many tell of it."""

    of: Floats
    weight: Floats


def _differences(counts: TailCounts) -> _Differences:
    right, wrong = np.array(counts.right), np.array(counts.wrong)
    weight = right * wrong / np.maximum(1e-9, right + wrong)
    means = [
        np.array(totals) / np.maximum(1e-9, number)
        for totals, number in ((counts.right_total, right), (counts.wrong_total, wrong))
    ]
    return _Differences(np.where(weight > 0, means[0] - means[1], 0.0), weight)


def _share_right(counts: TailCounts, parent: TailCounts | None) -> Floats:
    """Of ends, shrunk to the parent's and to one half."""
    share = np.full(_ENDS, 0.5)
    for known in (parent, counts):
        if known is not None:
            right, wrong = np.array(known.right), np.array(known.wrong)
            share = (right + _POOLED * share) / (right + wrong + _POOLED)
    return share
