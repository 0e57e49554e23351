"""The plans of a class at one price: settings of a chain, each with the best rule of its votes.

All settings are learned from the same chains, so what tells two of them apart is not the luck of
which questions each has met. A setting's own queries count most, then its neighbours' by stage.
Votes are fitted only for the settings that look best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policies.curves.arrays import Floats
from policies.curves.counts import upper_standard_error
from policies.curves.exit_curve import ExitCurve, ExitRule, fit_exits
from policies.curves.joint.counts import WHOLE_CHAIN, JointCounts, SettingCounts
from policies.curves.joint.settings import BY_LEARNED_EXIT, EXITS, SETTINGS, STAGES, ChainSetting
from policies.curves.prices import nearest
from policies.curves.vote_curve import VoteCurve, fit_votes
from policies.curves.vote_rule import VoteRule, vote_rules
from policies.curves.vote_types import INDEX, after_vote
from policies.plan import Forecast
from policies.tally import VoteStanding

MOST_VOTES = 16
_LEAST_CHAINS = 3.0
_NEIGHBOURS = (0.25, 0.5, 1.0, 0.5, 0.25)
"""How much the labels of settings two stages below, one below, ... count in a setting's prior."""
_NEIGHBOUR_LABELS = 8.0
_PARENT_QUERIES = 15.0
_VOTERS = (1.0, 4.0)
"""Settings are looked at as if tokens were so many times as dear: votes multiply a chain's."""
_TOP = 3
"""Settings that are fitted for each price and multiple of it."""


@dataclass(frozen=True, slots=True)
class JointPlan:
    """A setting, when to draw more votes, and what that should give."""

    setting: ChainSetting
    votes: VoteRule
    forecast: Forecast
    curve: VoteCurve
    #: Standard error of the accuracy.
    error: float
    #: When a chain is concluded, where that is learned.
    exit_rule: ExitRule | None = None

    def net_value(self, price: float) -> float:
        """Accuracy less the price of the tokens."""
        return self.forecast.accuracy - price * self.forecast.tokens

    def chance(self, standing: VoteStanding) -> float | None:
        """That the leader is right; None where no so many votes are known."""
        row = INDEX.get(standing)
        return None if row is None or row >= len(self.curve.right) else float(self.right[row])

    def next_vote(self, standing: VoteStanding) -> Forecast | None:
        """Accuracy that one more vote brings, and its tokens; None where none is known."""
        row = INDEX.get(standing)
        if row is None or sum(standing) >= MOST_VOTES:
            return None
        lead, second = float(self.curve.leads[row, 0]), float(self.curve.seconds[row, 0])
        after = [float(self.right[place]) for place in after_vote(standing)]
        mean = lead * after[0] + second * after[1] + (1 - lead - second) * after[2]
        return Forecast(mean - float(self.right[row]), float(self.curve.next_tokens[row, 0]))

    @property
    def right(self) -> Floats:
        """(S,): chance that the leader is right, by standing."""
        return self.curve.right[:, 0]


@dataclass(frozen=True, slots=True)
class JointTable:
    """The plans at one price, best first."""

    price: float
    plans: tuple[JointPlan, ...]

    def plan(self, setting: ChainSetting) -> JointPlan | None:
        """The one with this setting, if it is among the best few."""
        return next((plan for plan in self.plans if plan.setting == setting), None)

    def as_dicts(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [
            {
                "setting": str(plan.setting),
                "accuracy": plan.forecast.accuracy,
                "tokens": plan.forecast.tokens,
                "net_value": plan.net_value(self.price),
            }
            for plan in self.plans
        ]


@dataclass(frozen=True, slots=True)
class JointCurve:
    """A snapshot of one class."""

    queries: float
    explored: float
    #: By setting: accuracy and tokens of a single chain.
    chains: dict[ChainSetting, Forecast]
    tables: tuple[JointTable, ...]

    def table(self, price: float) -> JointTable:
        """The table whose price is nearest by ratio."""
        return nearest(self.tables, price)


def fit_joint(
    counts: JointCounts,
    parent: JointCounts | None = None,
    *,
    prices: Sequence[float],
    round_tokens: float = 0.0,
) -> JointCurve | None:
    """None as long as no chain has shown anything; a table for each price.

    `round_tokens` is what one more round of sampling is worth waiting for, in tokens.
    """
    usual = _scaled(parent)
    chains = _chains(counts, usual)
    if not chains:
        return None
    fitted: dict[ChainSetting, tuple[VoteCurve, tuple[VoteRule, ...]]] = {}
    for setting in (*_screened(chains, prices), BY_LEARNED_EXIT):
        own = counts.by_setting.get(setting, SettingCounts()).votes
        above = (counts if setting == BY_LEARNED_EXIT else usual).by_setting
        like = WHOLE_CHAIN if setting == BY_LEARNED_EXIT else setting
        curve = fit_votes(own, above[like].votes if like in above else None, most=MOST_VOTES)
        if curve is not None:
            curve = curve.for_all()
            fitted[setting] = curve, vote_rules(curve, prices, round_tokens=round_tokens)
    exits = fit_exits(counts.exits, usual.exits, prices=prices)
    return JointCurve(
        counts.queries,
        counts.explored,
        chains,
        tuple(_table(price, number, fitted, exits) for number, price in enumerate(prices)),
    )


def _table(
    price: float,
    number: int,
    fitted: dict[ChainSetting, tuple[VoteCurve, tuple[VoteRule, ...]]],
    exits: ExitCurve | None,
) -> JointTable:
    """Votes of chains with a learned exit bring what they bring over one such chain."""
    plans = []
    for setting, (curve, rules) in fitted.items():
        forecast, exit_rule = rules[number].forecast, None
        if setting == BY_LEARNED_EXIT:
            if exits is None:
                continue
            exit_rule = exits.rules[number]
            gain = forecast.accuracy - curve.accuracy[0]
            more = forecast.tokens - curve.first_tokens
            once = exit_rule.forecast
            # Votes put right as large a share of what is wrong as where they were seen.
            gain *= (1 - once.accuracy) / max(1e-9, 1 - curve.accuracy[0])
            forecast = Forecast(once.accuracy + gain, once.tokens + more)
        error = upper_standard_error(forecast.accuracy, curve.labels[0])
        plans.append(JointPlan(setting, rules[number], forecast, curve, error, exit_rule))
    plans.sort(key=lambda plan: plan.net_value(price), reverse=True)
    return JointTable(price, tuple(plans))


def _scaled(parent: JointCounts | None) -> JointCounts:
    """Other classes count as a few queries of this one."""
    scaled = JointCounts()
    if parent is not None and parent.queries:
        scaled.merge(parent)
        scaled.scale(min(1.0, _PARENT_QUERIES / parent.queries))
    return scaled


def _chains(counts: JointCounts, usual: JointCounts) -> dict[ChainSetting, Forecast]:
    """Accuracy and tokens of single chains, of the settings that enough of them have shown."""
    number, tokens, labelled, right = _sums(counts) + _sums(usual)
    if not number.any():
        return {}
    every = (right.sum() + 1.0) / (labelled.sum() + 2.0)
    reach = len(_NEIGHBOURS) // 2
    near = np.zeros((2, STAGES, len(EXITS)))
    for offset, weight in enumerate(_NEIGHBOURS, start=-reach):
        here = slice(max(0, offset), STAGES + min(0, offset))
        there = slice(max(0, -offset), STAGES + min(0, -offset))
        near[0, there] += weight * right[here]
        near[1, there] += weight * labelled[here]
    usually = (near[0] + 2 * every) / (near[1] + 2)
    accuracy = (right + _NEIGHBOUR_LABELS * usually) / (labelled + _NEIGHBOUR_LABELS)
    mean = tokens / np.maximum(number, 1e-9)
    return {
        setting: Forecast(float(accuracy[setting]), float(mean[setting]))
        for setting in SETTINGS
        if number[setting] >= _LEAST_CHAINS
    }


def _sums(counts: JointCounts) -> Floats:
    """(4, stage, exit): those of `ChainSums`."""
    sums = np.zeros((4, STAGES, len(EXITS)))
    for setting, own in counts.by_setting.items():
        if setting == BY_LEARNED_EXIT:
            continue
        sums[:, setting.stage, setting.exit] = own.sums
    return sums


def _screened(chains: dict[ChainSetting, Forecast], prices: Sequence[float]) -> set[ChainSetting]:
    """The few best at every price by a single chain, and by one of several."""
    best: set[ChainSetting] = set()
    for price in prices:
        for voters in _VOTERS:

            def value(setting: ChainSetting, dear: float = voters * price) -> float:
                return chains[setting].accuracy - dear * chains[setting].tokens

            best |= set(sorted(chains, key=value, reverse=True)[:_TOP])
    return best
