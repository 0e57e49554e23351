"""The plans of a class at one price: settings of a chain, each with the best rule of its votes.

All settings are learned from the same chains, so what tells two of them apart is not the luck of
which questions each has met. Votes are learned once, of chains as they were served. Under a better
setting they put right as large a share of what is wrong, under a worse one they add as large a
share to what is right, at that setting's tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from policies.curves.counts import LEAST_LABELS, shrink, upper_standard_error
from policies.curves.exit_curve import ExitCurve, ExitRule, fit_exits
from policies.curves.extension_counts import last_state
from policies.curves.extension_curve import ExtensionCurve, fit_extensions
from policies.curves.extension_rule import ExtensionRule, extension_rules
from policies.curves.plans.counts import PlanCounts
from policies.curves.plans.gains import clipped, errors_over, extended, share_of_gain, with_errors
from policies.curves.plans.settings import ChainSetting
from policies.curves.plans.table import MOST_VOTES, PlanOption, PlanTable
from policies.curves.plans.vote_signals import (
    MEASURED,
    UNKNOWN,
    SignalName,
    best_signal,
    bin_of,
)
from policies.curves.prices import nearest
from policies.curves.tail_confidence import tail_of
from policies.curves.vote_counts import VoteCounts
from policies.curves.vote_curve import VoteCurve, fit_votes
from policies.curves.vote_rule import one_vote, vote_rules
from policies.plan import Forecast
from policies.tally import Vote, VoteStanding

SCREENED_VOTES = 12
"""Votes by which the best few plans are found."""
MULTIPLES = (1.0, 2.0, 4.0, 8.0)
"""Rules of a chain are made as if tokens were so many times as dear: votes multiply them."""
KEPT = 3
"""Plans of a table."""
DOUBT = 1.0
"""Plans of several votes must be better by so many standard errors of what the votes bring."""


@dataclass(frozen=True, slots=True)
class PlanCurve:
    """A snapshot of one class."""

    queries: float
    #: Exploration runs.
    explored: float
    #: Those of other classes, which it leans on.
    explored_elsewhere: float
    #: By which votes are told apart before they are drawn; None: no signal tells enough.
    signal: SignalName | None
    #: Of one chain that goes to its own end.
    to_end: Forecast
    exits: ExitCurve | None
    #: None before any chain was extended.
    extension: ExtensionCurve | None
    extension_rules: tuple[ExtensionRule, ...]
    tables: tuple[PlanTable, ...]

    def table(self, price: float) -> PlanTable:
        """The table whose price is nearest by ratio."""
        return nearest(self.tables, price)

    def round_size(
        self, plan: PlanOption, standing: VoteStanding, first: Vote, difficulty: float | None
    ) -> int:
        """Votes to draw next after a first chain like this."""
        place = bin_of(self.signal, first, difficulty) if self.signal else UNKNOWN
        return plan.votes.round_at(standing, place)

    def exit_rule(self, setting: ChainSetting) -> ExitRule | None:
        return self.exits.rule(setting.value) if self.exits else None

    def extensions_of(self, plan: PlanOption | None) -> int:
        """The most that a plan may force."""
        if plan is None or plan.setting.kind != "extend":
            return plan.setting.number if plan else 0
        rule = self.extension_rule(plan.setting)
        return max((state.extensions + 1 for state in rule.below), default=0) if rule else 0

    def is_extended(self, setting: ChainSetting, ends: Sequence[Vote]) -> bool:
        """Whether one more extension pays for a chain with these ends, in order."""
        rule = self.extension_rule(setting)
        if rule is None or self.extension is None:
            return False
        state = last_state(ends)
        return rule.goes_on(state, self.extension.chance(state, tail_of(ends[-1])))

    @property
    def is_measured(self) -> bool:
        """Whether plans are told apart by the confidence of their chains."""
        return self.signal in MEASURED or bool(self.extension and self.extension.tail)

    def extension_rule(self, setting: ChainSetting) -> ExtensionRule | None:
        return nearest(self.extension_rules, setting.value) if self.extension_rules else None


def fit_plans(
    counts: PlanCounts,
    parent: PlanCounts | None = None,
    *,
    prices: Sequence[float],
    round_tokens: float = 0.0,
) -> PlanCurve | None:
    """None as long as no chain has been seen; a table for each price.

    `round_tokens` is what one more round of sampling is worth waiting for, in tokens.
    """
    usual = parent or PlanCounts()
    signal = best_signal(counts.votes)
    name = signal or "length"
    votes = fit_votes(
        counts.votes_by(name), usual.votes_by(name), most=MOST_VOTES, columns=signal is not None
    )
    if votes is None:
        return None
    ladder = sorted({price * multiple for price in prices for multiple in MULTIPLES})
    exits = fit_exits(counts.exits, usual.exits, prices=ladder)
    ends = fit_extensions(counts.ends, usual.ends, tails=(counts.tails, usual.tails))
    rules = tuple(extension_rules(ends, ladder)) if ends and ends.max_extensions else ()
    number, tokens = (a + b for a, b in zip(counts.answers, usual.answers, strict=True))
    answer_tokens = tokens / number if number else 0.0
    extending = {rule.price: rule for rule in rules}
    fitted = _Fitted(votes, exits, ends, extending, answer_tokens, counts.greedy, counts.sampled)
    return PlanCurve(
        counts.queries,
        counts.explored,
        usual.explored,
        signal,
        fitted.to_end,
        exits,
        ends,
        rules,
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
    #: By price.
    extending: Mapping[float, ExtensionRule]
    answer_tokens: float
    greedy: VoteCounts
    sampled: VoteCounts

    @property
    def to_end(self) -> Forecast:
        if self.exits is not None:
            return self._with_answer(self.exits.to_end)
        return Forecast(self.votes.accuracy[0], self.votes.first_tokens)

    def _apart(self, chains: VoteCounts) -> float:
        """Errors of such chains over those of greedy and sampled ones together."""
        right, wrong = (sum(cell[place] for cell in chains.cells.values()) for place in (1, 2))
        whole = self.to_end.accuracy
        return errors_over(shrink(right, right + wrong, whole, LEAST_LABELS), whole)

    def _with_answer(self, forecast: Forecast) -> Forecast:
        return Forecast(forecast.accuracy, forecast.tokens + self.answer_tokens)

    def tables(self, prices: Sequence[float], round_tokens: float) -> Iterator[PlanTable]:
        """Each of the best few plans, which are found by few votes and without their latency."""
        settings = {price: dict(self._settings(price)) for price in prices}
        offered = [
            (price, setting, once) for price in prices for setting, once in settings[price].items()
        ]
        screened = self._plans(offered, self.votes.for_all(most=SCREENED_VOTES))
        best: dict[float, list[ChainSetting]] = {
            price: [plan.setting for _, plan in _best(screened.get(price, []))] for price in prices
        }
        offered = [offer for offer in offered if offer[1] in best[offer[0]]]
        found = self._plans(offered, self.votes, round_tokens)
        for price in prices:
            plans = found.get(price, []) + self._alone(price, settings[price])
            yield PlanTable(price, tuple(plan for _, plan in _best(plans)))

    def _plans(
        self, offered: Sequence[_Offer], votes: VoteCurve, round_tokens: float = 0.0
    ) -> dict[float, list[tuple[float, PlanOption]]]:
        """By price: plans, each with its worth less the doubt about it."""
        first = votes.accuracy[0]
        error = upper_standard_error(first, votes.labels[0])
        # Chains that vote are sampled, one alone may be greedy: then they are told apart.
        apart = bool(self.greedy.cells)
        voting = self._apart(self.sampled) if apart else 1.0
        voters = [with_errors(once.accuracy, voting) for _, _, once in offered]
        shares = [share_of_gain(each, first, error) for each in voters]
        length = [max(1.0, once.tokens) / votes.first_tokens for _, _, once in offered]
        # As the curve of votes sees it: its gains are smaller or larger, and its tokens.
        as_seen = [p * n / s for (p, _, _), n, s in zip(offered, length, shares, strict=True)]
        rounds = round_tokens / np.array(length) if round_tokens else 0.0
        rules = vote_rules(votes, as_seen, round_tokens=rounds)
        curve = votes.for_all()
        plans: dict[float, list[tuple[float, PlanOption]]] = {}
        each = zip(offered, rules, shares, length, voters, strict=True)
        for (price, setting, _), rule, s, n, one in each:
            draws_more = rule.forecast.tokens > votes.first_tokens * 1.001
            if not draws_more and (apart or setting.is_dearer(price)):
                continue  # one chain is greedy, or its rule that of the price
            gain = rule.forecast.accuracy - first
            accuracy = clipped(one + s * gain)
            forecast = Forecast(accuracy, n * rule.forecast.tokens)
            error = upper_standard_error(forecast.accuracy, curve.labels[0])
            plan = PlanOption(setting, price, rule, forecast, curve, error, s, n, one)
            doubt = upper_standard_error(max(0.0, gain), votes.several) if draws_more else 0.0
            worth = plan.forecast.net_value(price) - DOUBT * s * doubt
            plans.setdefault(price, []).append((worth, plan))
        return plans

    def _alone(
        self, price: float, settings: Mapping[ChainSetting, Forecast]
    ) -> list[tuple[float, PlanOption]]:
        """Plans of one greedy chain, each with its worth; none where all chains are sampled."""
        if not self.greedy.cells:
            return []
        ratio, plans = self._apart(self.greedy), []
        curve = self.votes.for_all()
        for setting, once in settings.items():
            if setting.is_dearer(price):
                continue
            forecast = Forecast(with_errors(once.accuracy, ratio), once.tokens)
            error = upper_standard_error(forecast.accuracy, self.greedy.labelled)
            rule = one_vote(price, curve)
            plan = PlanOption(
                setting, price, rule, forecast, curve, error, 1.0,
                once.tokens / curve.first_tokens, forecast.accuracy, is_alone=True,
            )  # fmt: skip
            plans.append((plan.forecast.net_value(price), plan))
        return plans

    def _settings(self, price: float) -> Iterator[tuple[ChainSetting, Forecast]]:
        """What one chain may do, and what it gives without any further vote."""
        whole = self.to_end
        yield ChainSetting(), whole
        for dear in (price * multiple for multiple in MULTIPLES):
            if self.exits is not None:
                yield ChainSetting("exit", dear), self._with_answer(self.exits.rule(dear).forecast)
            rule = self.extending.get(dear)
            if self.ends is not None and rule is not None and rule.below:
                ratio = errors_over(rule.forecast.accuracy, self.ends.right[0])
                more = rule.forecast.tokens - self.ends.tokens[0]
                yield ChainSetting("extend", dear), extended(whole, ratio, more)
        if self.ends is not None:
            for number in range(1, self.ends.max_extensions + 1):
                ratio = errors_over(self.ends.accuracy[number], self.ends.accuracy[0])
                more = self.ends.tokens[number] - self.ends.tokens[0]
                more -= number * self.answer_tokens  # it answers once
                yield ChainSetting("forced", number), extended(whole, ratio, more)


def _best(plans: list[tuple[float, PlanOption]]) -> list[tuple[float, PlanOption]]:
    return sorted(plans, key=itemgetter(0), reverse=True)[:KEPT]
