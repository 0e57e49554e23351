"""How often the answers that were served were right, by kind of plan, and how sure that is.

Every answer has a chance to be right, foretold by the curve of that time; some are checked later.
What is checked corrects what was foretold for all (prediction-powered inference, arXiv 2301.09633,
with the weight of PPI++, arXiv 2311.01453), so the figure is right on average though the curve is
not. The interval is a confidence sequence (asymptotic, arXiv 2103.06476, theorem 2.2): whoever
looks at it after every query, and stops when it pleases, is still misled in a twentieth of cases
at most. Checked answers must be a fair sample: who only complains makes it too low.
"""

import math
from dataclasses import dataclass, field
from operator import add
from typing import Final, NamedTuple

from policies.curves.counts import LEAST_LABELS, Counts, Interval

PLANS: Final = ("whole", "exit", "forced", "extend")
"""What a plan does with its chains: `SettingKind`."""
_ERROR: Final = 0.05
_TIGHTEST: Final = 100.0
"""Checked answers at which the sequence is at its tightest."""
_RHO: Final = (1 - 2 * math.log(_ERROR) + math.log(-2 * math.log(_ERROR))) / _TIGHTEST
_UNKNOWN: Final = 0.5


class AccuracyEstimate(NamedTuple):
    """Accuracy of so many answers, `checked` ones among them; the interval holds at any time."""

    queries: float
    checked: float
    accuracy: float
    low: float
    high: float


@dataclass(slots=True)
class ServedCounts(Counts):
    """Of one kind of plan: numbers of answers, and sums of their foretold chances f.

    `unchecked` is 1, f, f^2 of answers of which nothing is known; `checked` is 1, y, f, f^2, y f,
    where y is whether it was right.
    """

    unchecked: list[float] = field(default_factory=lambda: [0.0] * 3)
    checked: list[float] = field(default_factory=lambda: [0.0] * 5)

    def observe(self, chance: float | None, right: bool | None) -> None:
        """`chance` of None is no prediction: it corrects nothing and spoils nothing."""
        f = _UNKNOWN if chance is None else chance
        if right is None:
            self.unchecked[:] = map(add, self.unchecked, (1.0, f, f * f))
        else:
            self.checked[:] = map(add, self.checked, (1.0, right, f, f * f, right * f))

    def served(self) -> AccuracyEstimate | None:
        """None before anything was checked."""
        rest, sum_g, sum_gg = self.unchecked
        n, sum_y, sum_f, sum_ff, sum_yf = self.checked
        if n <= 0:
            return None
        y, f = sum_y / n, sum_f / n
        spread, shared = max(0.0, sum_ff / n - f * f), sum_yf / n - y * f
        g, spread_of_rest, weight = f, 0.0, 0.0
        if rest > 0:
            g, spread_of_rest = sum_g / rest, max(0.0, sum_gg / rest - (sum_g / rest) ** 2)
            if spread > 0:
                weight = min(1.0, max(0.0, shared / spread / (1 + n / rest)))
        # Few answers that happen to be all right are no proof: some are taken as half right.
        left = max(0.0, y * (1 - y) - 2 * weight * shared + weight**2 * spread)
        variance = (n * left + LEAST_LABELS / 4) / (n + LEAST_LABELS)
        if rest > 0:
            variance += weight**2 * spread_of_rest * n / rest
        low, high = _sequence(y + weight * (g - f), variance, n)
        accuracy = min(1.0, max(0.0, y + weight * (g - f)))
        return AccuracyEstimate(n + rest, n, accuracy, low, high)


def _sequence(mean: float, variance: float, n: float) -> Interval:
    """For every n at once; `variance` of one of the n."""
    grown = n * _RHO + 1
    half = math.sqrt(variance * 2 * grown / (n * n * _RHO) * math.log(math.sqrt(grown) / _ERROR))
    return Interval(max(0.0, mean - half), min(1.0, mean + half))
