"""When thinking on is worth its tokens: trial answers of a chain on its way, and what followed.

Counts of what came after each state make a Markov chain; backward induction says for any price in
which states the tokens ahead buy less than they cost. Accuracy may fall with more thinking (arXiv
2506.04210): then the rule ends chains early at any price.

Few answers are checked. Chains that ran to their end tell how often a trial agrees with the answer
in the end; checked ones, what such an agreement is worth, and by how much a state is better or
worse than that. A state with few observations is shrunk towards similar ones, and a class
towards its parent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from policies.curves.arrays import Floats
from policies.curves.exit_statistics import (
    SHAPE,
    START,
    STATES,
    ExitCounts,
    ExitStatistics,
    trials,
)
from policies.curves.prices import nearest
from policies.plan import Forecast, check_number
from policies.signals import Probe

_STATE_PRIOR = 12.0
"""Observations that similar states count as."""
_GAIN_PRIOR = 4.0
"""The same for what going on brings, where states differ more."""
_PARENT_QUERIES = 15.0
_AGREEMENT = 0.7
"""Until seen otherwise: how often a trial agrees with the answer in the end."""
_RIGHT_IF = (0.25, 0.5)
"""Until seen otherwise: how often a trial is right that differs from the end, or agrees."""
_CALIBRATION = 8.0
_OPTIMISM = 0.3
"""Optimism bonus in standard errors: a trial is made as if going on were this much better.

A rule is chosen for looking best; what looks bad has to be known well before it is given up."""


@dataclass(frozen=True, slots=True)
class ExitRule:
    """In which states a chain should be concluded at one price, and what that should give."""

    price: float
    ends_at: tuple[bool, ...]
    forecast: Forecast

    def concludes(self, probes: Sequence[Probe]) -> bool:
        """Whether a chain with these trials, at least one, should answer now."""
        return self.ends_at[row_of(probes)]


@dataclass(frozen=True, slots=True)
class ExitCurve:
    """A snapshot: `accuracy` is by state, of a chain that answers there."""

    queries: float
    whole: float
    accuracy: tuple[float, ...]
    rules: tuple[ExitRule, ...]
    #: Of a chain that goes to its own end, without trials.
    to_end: Forecast

    def chance(self, probes: Sequence[Probe]) -> float:
        """That of a chain with these trials, at least one, to be right if it answers now."""
        return self.accuracy[row_of(probes)]

    def rule(self, price: float) -> ExitRule:
        """The rule whose price is nearest by ratio."""
        return nearest(self.rules, price)


def row_of(probes: Sequence[Probe]) -> int:
    *_, last = trials(probes)
    return last.state.row


def fit_exits(
    statistics: ExitStatistics, parent: ExitStatistics | None = None, *, prices: Sequence[float]
) -> ExitCurve | None:
    """A rule for each price (accuracy that one token must buy).

    None before any chain was tried, or ended by itself.
    """
    for price in prices:
        check_number("price", price, above=0)
    known = statistics
    if parent is not None and parent.queries:
        known = ExitStatistics()
        known.merge(parent)
        known.scale(min(1.0, _PARENT_QUERIES / parent.queries))
        known.merge(statistics)
    if not (known.counts.ended[START] or any(known.onward.values())):
        return None
    accuracy, accuracy_at_end = _accuracy(known.counts)
    flow = _Flow.of(known)
    rules = tuple(_rule(flow, accuracy, accuracy_at_end, price) for price in prices)
    return ExitCurve(
        statistics.queries,
        statistics.whole,
        tuple(accuracy[:-1].tolist()),
        rules,
        _to_end(flow, accuracy, accuracy_at_end, known.trial_tokens),
    )


def _shrink_by_state(sums: Floats, counts: Floats, usual: float) -> Floats:
    """Means of shape SHAPE (step, sureness, run), shrunk towards those of (sureness, run), those
    towards (run,), those towards `usual`.
    """
    by_run = (sums.sum((0, 1)) + _STATE_PRIOR * usual) / (counts.sum((0, 1)) + _STATE_PRIOR)
    by_trial = (sums.sum(0) + _STATE_PRIOR * by_run) / (counts.sum(0) + _STATE_PRIOR)
    return np.asarray((sums + _STATE_PRIOR * by_trial) / (counts + _STATE_PRIOR))


def _accuracy(counts: ExitCounts) -> tuple[Floats, Floats]:
    """Of answers in every state, and of natural ends right after it; the last row is the start."""
    agreed, differed = _grid(counts.agreed), _grid(counts.differed)
    right, wrong = _grid(counts.right), _grid(counts.wrong)
    end_right, end_wrong = _grid(counts.end_right), _grid(counts.end_wrong)
    known = np.array(counts.known).reshape(2, 2)
    worth = (known[:, 1] + _CALIBRATION * np.array(_RIGHT_IF)) / (known.sum(1) + _CALIBRATION)
    agreement = _shrink_by_state(agreed, agreed + differed, _AGREEMENT)
    expected = agreement * worth[1] + (1 - agreement) * worth[0]
    checked = right + wrong
    excess = right - checked * expected
    usual = float(excess.sum() / (checked.sum() + _CALIBRATION))
    accuracy = np.clip(expected + _shrink_by_state(excess, checked, usual), 0.01, 0.99).ravel()
    ends = end_right + end_wrong
    usual = float((end_right.sum() + _CALIBRATION * worth[1]) / (ends.sum() + _CALIBRATION))
    untried = counts.end_right[START], counts.end_wrong[START]
    at_once = (untried[0] + _STATE_PRIOR * usual) / (sum(untried) + _STATE_PRIOR)
    at_end = np.append(_shrink_by_state(end_right, ends, usual).ravel(), at_once)
    return np.append(accuracy, 0.0), at_end


def _grid(row: Sequence[float]) -> Floats:
    return np.array(row[:STATES]).reshape(SHAPE)


class _Flow(NamedTuple):
    """What came after each state, the start last."""

    #: (STATES + 1, STATES): chains that went on, by state and next state.
    onward: Floats
    #: By state: chains that ended by themselves.
    ended: Floats
    #: By state: both together.
    left: Floats
    #: By state: tokens until then, those of trials among them.
    tokens: Floats

    @classmethod
    def of(cls, known: ExitStatistics) -> "_Flow":
        onward = np.zeros((STATES + 1, STATES))
        for (row, after), count in known.onward.items():
            onward[row, after] = count
        ended = np.array(known.counts.ended)
        tokens = np.array(known.counts.next_tokens) + np.array(known.counts.end_tokens)
        return cls(onward, ended, onward.sum(1) + ended, tokens)


def _rule(flow: _Flow, accuracy: Floats, at_end: Floats, price: float) -> ExitRule:
    """Backward from the longest chains: a state's value is the better of answering and going on."""
    onward, ended, left, tokens = flow
    value, right, spent = accuracy[:-1].copy(), accuracy[:-1].copy(), np.zeros(STATES)
    ends_at = np.ones(STATES, dtype=bool)
    for step in reversed(range(SHAPE[0])):
        rows = slice(step * SHAPE[1] * SHAPE[2], (step + 1) * SHAPE[1] * SHAPE[2])
        went = left[rows]
        if not went.any():
            continue
        gain = onward[rows] @ value + ended[rows] * at_end[rows] - price * tokens[rows]
        gain -= went * accuracy[rows]
        standard_error = np.sqrt(accuracy[rows] * (1 - accuracy[rows]) / (went + _STATE_PRIOR))
        expected = _gain(gain.reshape(SHAPE[1:]), went.reshape(SHAPE[1:])).ravel()
        expected += _OPTIMISM * standard_error
        value[rows] += np.maximum(0.0, expected)
        ends_at[rows] = expected <= 0
        goes = ~ends_at[rows] & (went > 0)
        each = np.maximum(went, 1e-12)
        on = (onward[rows] @ right + ended[rows] * at_end[rows]) / each
        cost = (onward[rows] @ spent + tokens[rows]) / each
        right[rows], spent[rows] = np.where(goes, on, right[rows]), np.where(goes, cost, 0.0)
    many = max(1e-12, left[START])
    forecast = Forecast(
        float((onward[START] @ right + ended[START] * at_end[START]) / many),
        float((onward[START] @ spent + tokens[START]) / many),
    )
    return ExitRule(price, tuple(ends_at.tolist()), forecast)


def _to_end(flow: _Flow, accuracy: Floats, at_end: Floats, trial_tokens: float) -> Forecast:
    """Of chains that go to their own end, without trials; or as far as any has gone."""
    onward, ended, left, tokens_until = flow
    thought = tokens_until - onward.sum(1) * trial_tokens
    reach, right, tokens = np.zeros(STATES + 1), 0.0, 0.0
    reach[START] = 1.0
    for row in [START, *range(STATES)]:
        if reach[row] and not left[row]:
            right += reach[row] * accuracy[row]
        elif reach[row]:
            share = reach[row] / left[row]
            reach[:-1] += share * onward[row]
            right += share * ended[row] * at_end[row]
            tokens += share * thought[row]
    return Forecast(float(right), float(tokens))


def _gain(sums: Floats, counts: Floats) -> Floats:
    """Mean gain of going on, (sureness, run): shrunk towards its run, that towards the step."""
    usual = sums.sum() / counts.sum()
    by_run = (sums.sum(0) + _GAIN_PRIOR * usual) / (counts.sum(0) + _GAIN_PRIOR)
    return np.asarray((sums + _GAIN_PRIOR * by_run) / (counts + _GAIN_PRIOR))
