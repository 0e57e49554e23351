"""Sums that describe the observations of a class, and intervals of shares from them."""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple, Self

LEAST_LABELS = 4.0
"""Labels that an interval has beyond those seen: without any it is wide, but not everything."""
_LEAST_ERROR = 1e-3


@dataclass(slots=True)
class Counts:
    """Rows of sums: adding two is having observed both, scaling down is forgetting.

    A subclass only names its rows, all of them lists of floats, and says how to observe.
    """

    def merge(self, other: Self) -> None:
        for row, addend in zip(self.rows().values(), other.rows().values(), strict=True):
            row[:] = [mine + theirs for mine, theirs in zip(row, addend, strict=True)]

    def relabel(self, labelled: Self, blank: Self, weight: float) -> None:
        """Add what a late label shows: `labelled` is its query observed with it, `blank` without.

        What has been forgotten by now cannot be taken back: no count falls below 0.
        """
        rows = zip(
            self.rows().values(), labelled.rows().values(), blank.rows().values(), strict=True
        )
        for row, after, before in rows:
            row[:] = [
                max(0.0, mine + weight * (new - old))
                for mine, new, old in zip(row, after, before, strict=True)
            ]

    def scale(self, factor: float) -> None:
        for row in self.rows().values():
            row[:] = [count * factor for count in row]

    def rows(self) -> dict[str, list[float]]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_rows(cls, rows: dict[str, list[float]]) -> Self:
        counts = cls()
        for name, row in counts.rows().items():
            if len(rows[name]) != len(row):
                raise ValueError(f"{name} must have {len(row)} counts, got {len(rows[name])}")
            row[:] = [float(count) for count in rows[name]]
        return counts


class Interval(NamedTuple):
    """Of 95 %: two standard errors to either side."""

    low: float
    high: float

    @property
    def error(self) -> float:
        return (self.high - self.low) / 4


def interval(share: float, weight: float, *, deviations: float = 1.96) -> Interval:
    """Wilson's interval of a share that `weight` observations support."""
    if weight <= 0:
        return Interval(0.0, 1.0)
    square = deviations**2 / weight
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def learned(share: float, labels: float) -> Interval:
    """The interval of a share that so many labels, and a little else, support."""
    return interval(share, labels + LEAST_LABELS)


def upper_standard_error(share: float, labels: float) -> float:
    """One standard error of a share, towards higher values, by Wilson's interval.

    A few labels that all happen to be wrong do not make it small.
    """
    return max(_LEAST_ERROR, (learned(share, labels).high - share) / 2)


def shrink(successes: float, trials: float, prior: float, weight: float) -> float:
    """A share, shrunk towards `prior` as if `weight` trials had shown just that."""
    return (successes + weight * prior) / (trials + weight)
