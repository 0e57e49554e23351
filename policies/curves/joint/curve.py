"""The plans of a class at one price: settings of a chain, each with the best rule of its votes.

All settings are learned from the same chains, so what tells two of them apart is not the luck of
which questions each has met. Votes are learned once, of chains as they were served. Under a better
setting they put right as large a share of what is wrong, under a worse one they add as large a
share to what is right, at that setting's tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from policies.curves.counts import upper_standard_error
from policies.curves.exit_curve import ExitCurve, ExitRule, fit_exits
from policies.curves.extension_curve import ExtensionCurve, ExtensionRule, fit_extensions
from policies.curves.joint.counts import JointCounts
from policies.curves.joint.settings import ChainSetting
from policies.curves.joint.vote_signals import UNKNOWN, SignalName, best_signal, bin_of
from policies.curves.prices import nearest
from policies.curves.vote_curve import VoteCurve, fit_votes
from policies.curves.vote_rule import VoteRule, vote_rules
from policies.curves.vote_types import INDEX, after_vote
from policies.plan import Forecast
from policies.tally import Vote, VoteStanding

MOST_VOTES = 24
SCREENED_VOTES = 12
"""Votes by which the best few plans are found."""
MULTIPLES = (1.0, 2.0, 4.0, 8.0)
"""Rules of a chain are made as if tokens were so many times as dear: votes multiply them."""
KEPT = 3
"""Plans of a table."""
DOUBT = 1.0
"""Plans of several votes must be better by so many standard errors of what the votes bring."""


@dataclass(frozen=True, slots=True)
class JointPlan:
    """A setting, when to draw more votes, and what that should give."""

    setting: ChainSetting
    #: That of its table.
    price: float
    votes: VoteRule
    forecast: Forecast
    curve: VoteCurve
    #: Standard error of the accuracy.
    error: float
    #: What votes bring here, over what they bring in the curve.
    share: float
    #: Tokens of one chain, over those of one in the curve.
    length: float
    #: Accuracy of one chain.
    once: float

    def net_value(self, price: float) -> float:
        """Accuracy less the price of the tokens."""
        return self.forecast.accuracy - price * self.forecast.tokens

    def chance(self, standing: VoteStanding) -> float | None:
        """That the leader is right; None where no so many votes are known."""
        row = INDEX.get(standing)
        if row is None or row >= len(self.curve.right):
            return None
        more = float(self.curve.right[row, 0]) - self.curve.accuracy[0]
        return min(1.0, max(0.0, self.once + self.share * more))

    def next_vote(self, standing: VoteStanding) -> Forecast | None:
        """Accuracy that one more vote brings, and its tokens; None where none is known."""
        row = INDEX.get(standing)
        if row is None or sum(standing) >= MOST_VOTES:
            return None
        right = self.curve.right[:, 0]
        lead, second = float(self.curve.leads[row, 0]), float(self.curve.seconds[row, 0])
        after = [float(right[place]) for place in after_vote(standing)]
        mean = lead * after[0] + second * after[1] + (1 - lead - second) * after[2]
        return Forecast(
            self.share * (mean - float(right[row])),
            self.length * float(self.curve.next_tokens[row, 0]),
        )


@dataclass(frozen=True, slots=True)
class JointTable:
    """The plans at one price, best first."""

    price: float
    plans: tuple[JointPlan, ...]

    def plan(self, setting: ChainSetting) -> JointPlan | None:
        """The one with this setting, or of its kind, if it is among the best few."""
        same = [plan for plan in self.plans if plan.setting.kind == setting.kind]
        exact = (plan for plan in same if plan.setting.value == setting.value)
        return next(exact, same[0] if same else None)

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
    #: By which votes are told apart before they are drawn; None: no signal tells enough.
    signal: SignalName | None
    #: Of one chain that goes to its own end.
    to_end: Forecast
    exits: ExitCurve | None
    extension_rules: tuple[ExtensionRule, ...]
    tables: tuple[JointTable, ...]

    def table(self, price: float) -> JointTable:
        """The table whose price is nearest by ratio."""
        return nearest(self.tables, price)

    def round_size(
        self, plan: JointPlan, standing: VoteStanding, first: Vote, difficulty: float | None
    ) -> int:
        """Votes to draw next after a first chain like this."""
        place = bin_of(self.signal, first, difficulty) if self.signal else UNKNOWN
        return plan.votes.round_at(standing, place)

    def exit_rule(self, setting: ChainSetting) -> ExitRule | None:
        return self.exits.rule(setting.value) if self.exits else None

    def extension_rule(self, setting: ChainSetting) -> ExtensionRule | None:
        return nearest(self.extension_rules, setting.value) if self.extension_rules else None


def fit_joint(
    counts: JointCounts,
    parent: JointCounts | None = None,
    *,
    prices: Sequence[float],
    round_tokens: float = 0.0,
) -> JointCurve | None:
    """None as long as no chain has been seen; a table for each price.

    `round_tokens` is what one more round of sampling is worth waiting for, in tokens.
    """
    usual = parent or JointCounts()
    signal = best_signal(counts.votes)
    name = signal or "length"
    parent_votes = usual.votes.get(name, usual.votes["length"])
    votes = fit_votes(counts.votes[name], parent_votes, most=MOST_VOTES, columns=signal is not None)
    if votes is None:
        return None
    ladder = sorted({price * multiple for price in prices for multiple in MULTIPLES})
    exits = fit_exits(counts.exits, usual.exits, prices=ladder)
    ends = fit_extensions(counts.ends, usual.ends)
    number, tokens = (a + b for a, b in zip(counts.answers, usual.answers, strict=True))
    answer_tokens = tokens / number if number else 0.0
    fitted = _Fitted(votes, exits, ends, answer_tokens)
    return JointCurve(
        counts.queries,
        counts.explored,
        signal,
        fitted.to_end,
        exits,
        tuple(ends.rule(price) for price in ladder) if ends and ends.max_extensions else (),
        tuple(fitted.tables(prices, round_tokens)),
    )


_Offer = tuple[float, ChainSetting, Forecast]
"""A price, a setting, and what one chain under it gives."""


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What is known of one class."""

    votes: VoteCurve
    exits: ExitCurve | None
    ends: ExtensionCurve | None
    answer_tokens: float

    @property
    def to_end(self) -> Forecast:
        if self.exits is not None:
            return self._with_answer(self.exits.to_end)
        return Forecast(self.votes.accuracy[0], self.votes.first_tokens)

    def _with_answer(self, forecast: Forecast) -> Forecast:
        return Forecast(forecast.accuracy, forecast.tokens + self.answer_tokens)

    def tables(self, prices: Sequence[float], round_tokens: float) -> Iterator[JointTable]:
        """Each of the best few plans, which are found by few votes and without their latency."""
        offered = [
            (price, setting, once)
            for price in prices
            for setting, once in dict(self._settings(price)).items()
        ]
        screened = self._plans(offered, self.votes.for_all(most=SCREENED_VOTES))
        best: dict[float, list[ChainSetting]] = {
            price: [plan.setting for _, plan in _best(screened[price])] for price in prices
        }
        offered = [offer for offer in offered if offer[1] in best[offer[0]]]
        found = self._plans(offered, self.votes, round_tokens)
        for price in prices:
            plans = found.get(price) or screened[price]
            yield JointTable(price, tuple(plan for _, plan in _best(plans)))

    def _plans(
        self, offered: Sequence[_Offer], votes: VoteCurve, round_tokens: float = 0.0
    ) -> dict[float, list[tuple[float, JointPlan]]]:
        """By price: plans, each with its worth less the doubt about it."""
        first = votes.accuracy[0]
        error = upper_standard_error(first, votes.labels[0])
        shares = [_share(once.accuracy, first, error) for _, _, once in offered]
        length = [max(1.0, once.tokens) / votes.first_tokens for _, _, once in offered]
        # As the curve of votes sees it: its gains are smaller or larger, and its tokens.
        as_seen = [p * n / s for (p, _, _), n, s in zip(offered, length, shares, strict=True)]
        rounds = round_tokens / np.array(length) if round_tokens else 0.0
        rules = vote_rules(votes, as_seen, round_tokens=rounds)
        curve = votes.for_all()
        plans: dict[float, list[tuple[float, JointPlan]]] = {}
        for (price, setting, once), rule, s, n in zip(offered, rules, shares, length, strict=True):
            draws_more = rule.forecast.tokens > votes.first_tokens * 1.001
            if setting.is_dearer(price) and not draws_more:
                continue  # the rule for one chain is that of the price
            gain = rule.forecast.accuracy - first
            accuracy = _chance(once.accuracy + s * gain)
            forecast = Forecast(accuracy, n * rule.forecast.tokens)
            error = upper_standard_error(forecast.accuracy, curve.labels[0])
            plan = JointPlan(setting, price, rule, forecast, curve, error, s, n, once.accuracy)
            doubt = upper_standard_error(max(0.0, gain), votes.several) if draws_more else 0.0
            worth = plan.net_value(price) - DOUBT * s * doubt
            plans.setdefault(price, []).append((worth, plan))
        return plans

    def _settings(self, price: float) -> Iterator[tuple[ChainSetting, Forecast]]:
        """What one chain may do, and what it gives without any further vote."""
        whole = self.to_end
        yield ChainSetting(), whole
        for dear in (price * multiple for multiple in MULTIPLES):
            if self.exits is not None:
                yield ChainSetting("exit", dear), self._with_answer(self.exits.rule(dear).forecast)
            if self.ends is not None and self.ends.max_extensions:
                rule = self.ends.rule(dear)
                if rule.goes_on:
                    gain = rule.forecast.accuracy - self.ends.right[0]
                    more = rule.forecast.tokens - self.ends.tokens[0]
                    yield ChainSetting("extend", dear), _plus(whole, gain, more)
        if self.ends is not None:
            for number in range(1, self.ends.max_extensions + 1):
                gain = self.ends.accuracy[number] - self.ends.accuracy[0]
                more = self.ends.tokens[number] - self.ends.tokens[0]
                more -= number * self.answer_tokens  # it answers once
                yield ChainSetting("forced", number), _plus(whole, gain, more)


def _best(plans: list[tuple[float, JointPlan]]) -> list[tuple[float, JointPlan]]:
    return sorted(plans, key=itemgetter(0), reverse=True)[:KEPT]


def _share(once: float, first: float, error: float) -> float:
    """What votes bring to chains that are right so often, over those that are `first`.

    A difference that is no larger than its standard error is no difference.
    """
    apart = once - first
    once = first + apart**3 / (apart**2 + (2 * error) ** 2)
    return max(1e-3, min(once / first, (1 - once) / (1 - first)))


def _plus(once: Forecast, gain: float, tokens: float) -> Forecast:
    return Forecast(_chance(once.accuracy + gain), max(1.0, once.tokens + tokens))


def _chance(accuracy: float) -> float:
    """Sums of estimates may come to more than 1, or less than 0."""
    return min(0.999, max(0.001, accuracy))
