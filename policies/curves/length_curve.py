"""What a cap on thinking would cost and save: lengths of chains, cut ones included.

Lengths fall into half octaves. A chain that ended by itself is an exact observation for every
higher cap; one that was cut would have been longer (a right-censored length: the
product-limit estimate of Kaplan and Meier), and how often a cut chain is right at that cap.
Accuracy need not rise with the cap: a cut chain may be right more often than a finished one.
Beyond every length seen a Hill curve goes on from where the counts end.
"""

import bisect
import math
from dataclasses import dataclass, field
from typing import NamedTuple

from policies.curves.counts import Counts, Interval, interval, shrink
from policies.curves.hill import CapPoint, Hill, fit_hill
from policies.plan import Forecast

CAPS = tuple(round(2 ** (half / 2)) for half in range(6, 33))
"""Upper edges of the length bins in thinking tokens: 8, 11, 16, 23, ... 65536."""

_PRIOR_LENGTHS = 4.0
_PRIOR_ENDS = 12.0
_PRIOR_CUTS = 4.0
_CUT_SHARE = 0.25
"""Until seen otherwise, a cut chain is right this much as often as a finished one."""


def _row() -> list[float]:
    return [0.0] * (len(CAPS) + 1)


@dataclass(slots=True)
class LengthCounts(Counts):
    """Counts of first chains.

    By bin: row b has lengths up to `CAPS[b]`, the last row all others. By cap: row b + 1 has caps
    from `CAPS[b]` on, up to the next.
    """

    #: By bin: chains that ended by themselves.
    ended: list[float] = field(default_factory=_row)
    #: By bin: of them right by a label.
    ended_right: list[float] = field(default_factory=_row)
    #: By bin: of them wrong by a label.
    ended_wrong: list[float] = field(default_factory=_row)
    #: By bin: their thinking tokens together.
    ended_tokens: list[float] = field(default_factory=_row)
    #: By cap: chains that were cut there.
    cut: list[float] = field(default_factory=_row)
    #: By cap: answers there right by a label, those of trials among them.
    cut_right: list[float] = field(default_factory=_row)
    #: By cap: answers there wrong by a label.
    cut_wrong: list[float] = field(default_factory=_row)
    #: One number: answer tokens of all chains together.
    answer_tokens: list[float] = field(default_factory=lambda: [0.0])

    def observe(
        self,
        thinking_tokens: int,
        *,
        answer_tokens: float,
        is_cut: bool,
        right: bool | None,
    ) -> None:
        self.answer_tokens[0] += answer_tokens
        if is_cut:
            row = bisect.bisect_right(CAPS, thinking_tokens)
            self.cut[row] += 1.0
            if right is not None:
                (self.cut_right if right else self.cut_wrong)[row] += 1.0
            return
        row = bisect.bisect_left(CAPS, thinking_tokens)
        self.ended[row] += 1.0
        self.ended_tokens[row] += thinking_tokens
        if right is not None:
            (self.ended_right if right else self.ended_wrong)[row] += 1.0

    def observe_trial(self, thinking_tokens: int, right: bool | None) -> None:
        """A trial answer: what a chain would have said that is cut there."""
        if right is not None:
            row = bisect.bisect_right(CAPS, thinking_tokens)
            (self.cut_right if right else self.cut_wrong)[row] += 1.0

    @property
    def queries(self) -> float:
        return sum(self.ended) + sum(self.cut)


class CapForecast(NamedTuple):
    """What one cap should reach, with 95 % intervals; beyond the lengths seen they widen."""

    accuracy: float
    accuracy_interval: Interval
    tokens: float
    tokens_interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class LengthCurve:
    """One class, by cap: in the order of `CAPS`, as far as a chain may still be cut there."""

    #: By cap: accuracy, and mean tokens of a chain with its answer.
    forecasts: tuple[Forecast, ...]
    #: By cap: share of chains that think longer.
    still_thinking: tuple[float, ...]
    #: Labelled chains that ended by themselves.
    labelled: float
    #: How many caps, from the first, have chains that were not cut below them.
    observed: int
    #: Chains behind all this, the parent's included.
    lengths: float
    #: Share of chains that end in one half octave of tokens.
    hazard: float
    #: Accuracy for caps beyond every observed length.
    backbone: Hill

    def at(self, cap: int) -> Forecast:
        """Accuracy and all tokens of one chain that may think for `cap` tokens.

        Between two grid caps both are interpolated, above the last one nothing changes.
        """
        right = bisect.bisect_left(CAPS, cap, hi=len(self.forecasts))
        if right == 0:
            return self.forecasts[0]
        if right == len(self.forecasts):
            return self.forecasts[-1]
        part = (cap - CAPS[right - 1]) / (CAPS[right] - CAPS[right - 1])
        low, high = self.forecasts[right - 1], self.forecasts[right]
        return Forecast(*(a + part * (b - a) for a, b in zip(low, high, strict=True)))

    def interval(self, row: int) -> Interval:
        return interval(self.forecasts[row].accuracy, self.labelled + _PRIOR_CUTS)

    def beyond(self, cap: int) -> CapForecast:
        """As `at`, with intervals, and for caps above all that was seen.

        There accuracy moves as the backbone does, by no more than the share of chains that are
        still thinking; they end as they did before, or at once, or not at all.
        """
        edge = CAPS[self.observed - 1]
        known = self.at(min(cap, edge))
        span = interval(known.accuracy, self.labelled + _PRIOR_CUTS)
        error = known.tokens / math.sqrt(max(1.0, self.lengths))
        low, high = max(0.0, known.tokens - 2 * error), known.tokens + 2 * error
        if cap <= edge:
            return CapForecast(known.accuracy, span, known.tokens, (low, high))
        thinking = self.still_thinking[self.observed - 1]
        step = self.backbone.at(cap) - self.backbone.at(edge)
        step = min(thinking, max(-thinking, step))
        margin = min(thinking, 2 * self.backbone.interval(cap).error)
        return CapForecast(
            min(1.0, max(0.0, known.accuracy + step)),
            Interval(max(0.0, span.low + step - margin), min(1.0, span.high + step + margin)),
            known.tokens + self._tail(edge, cap),
            (low, high + thinking * (cap - edge)),
        )

    def _tail(self, edge: int, cap: int) -> float:
        """Tokens between two caps, where in every half octave the same share of chains ends."""
        thinking, tokens, start = self.still_thinking[self.observed - 1], 0.0, edge
        while start < cap and thinking > 1e-6:
            end = min(cap, round(start * math.sqrt(2)) + 1)
            tokens += thinking * (1 - self.hazard / 2) * (end - start)
            thinking *= 1 - self.hazard
            start = end
        return tokens


def fit_lengths(
    counts: LengthCounts, parent: LengthCounts | None = None, *, accuracy_at_end: float
) -> LengthCurve | None:
    """None without a single length; `accuracy_at_end` is what a finished chain reaches."""
    known = counts
    if parent is not None and parent.queries:
        known = LengthCounts()
        known.merge(parent)
        known.scale(_PRIOR_LENGTHS / max(_PRIOR_LENGTHS, parent.queries))
        known.merge(counts)
    if not known.queries:
        return None
    answer_tokens = known.answer_tokens[0] / known.queries
    at_risk = known.queries
    surviving = 1.0
    accuracy_ended = tokens_ended = 0.0
    forecasts, still_thinking = [], []
    observed, exposed = 0, 0.0
    for row, cap in enumerate(CAPS):
        at_risk -= known.cut[row]
        observed += at_risk > 0
        exposed += max(0.0, at_risk)
        hazard = known.ended[row] / at_risk if at_risk > 0 else 1.0
        ending = surviving * min(1.0, hazard)
        at_risk -= known.ended[row]
        right_if_ended = shrink(
            counts.ended_right[row],
            counts.ended_right[row] + counts.ended_wrong[row],
            accuracy_at_end,
            _PRIOR_ENDS,
        )
        right_if_cut = shrink(
            counts.cut_right[row + 1],
            counts.cut_right[row + 1] + counts.cut_wrong[row + 1],
            _CUT_SHARE * accuracy_at_end,
            _PRIOR_CUTS,
        )
        mean = known.ended_tokens[row] / known.ended[row] if known.ended[row] else float(cap)
        accuracy_ended += ending * right_if_ended
        tokens_ended += ending * mean
        surviving -= ending
        forecasts.append(
            Forecast(
                accuracy_ended + surviving * right_if_cut,
                tokens_ended + surviving * cap + answer_tokens,
            )
        )
        still_thinking.append(surviving)
        if surviving < 0.02:
            break
    labelled = sum(map(sum, (counts.ended_right, counts.ended_wrong)))
    observed = max(1, observed)
    checked = labelled + sum(map(sum, (counts.cut_right, counts.cut_wrong)))
    seen = zip(CAPS, forecasts[:observed], strict=False)
    return LengthCurve(
        tuple(forecasts),
        tuple(still_thinking),
        labelled,
        observed,
        known.queries,
        (sum(known.ended) + 1) / (exposed + 2),
        fit_hill([CapPoint(cap, forecast.accuracy, checked / observed) for cap, forecast in seen]),
    )
