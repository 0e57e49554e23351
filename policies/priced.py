"""Caps, extensions, early exits and votes in one plan, by what it is learned to bring."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from random import Random
from typing import TYPE_CHECKING

from policies.base import Conclude, Decision, Draw, Extend, Policy, Situation, Stop
from policies.curves.exit_statistics import POSITIONS
from policies.curves.extension_counts import MAX_EXTENSIONS
from policies.curves.plans.settings import ChainSetting
from policies.exploration import (
    EXPLORATION_CHAINS,
    WHOLE_RUNS,
    chance_of_run,
    chance_of_trials,
    checked_first,
    is_cold,
    share_of_several,
    voting_rival,
)
from policies.options import PolicyOptions
from policies.plan import Budget, Plan, check_int, check_number
from policies.price import DEFAULT_PRICE
from policies.signals import Probing, Signals
from policies.tally import Vote

if TYPE_CHECKING:
    from policies.curves.plans.curve import PlanCurve
    from policies.curves.plans.table import PlanOption

TAIL_TOKENS = 256
"""Thinking tokens whose confidence is the tail's."""
ATTEMPTS = 3
"""Chains without an answer after which a query is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced(Policy):
    """One plan per query: how far a chain thinks, what ends it earlier, and when to draw more.

    Plans are all pairs of a chain setting (policies/curves/plans/settings.py) and the best rule of
    its votes; taken is the one with the highest value * accuracy - price * tokens. Chains are
    sampled as the model recommends; a single one is greedy where the thinking format means it so.
    Trial answers show what smaller settings would have given: exploration runs ask for them.
    """

    price: float | None = None
    max_samples: int = 16
    max_extensions: int = 5
    max_thinking_tokens: int | None = None
    answer_tokens: int = 128
    probe_tokens: int = 20
    exploration: float = 0.08

    def __post_init__(self) -> None:
        check_number("price", self.price, above=0, below=1, optional=True)
        check_int("max_samples", self.max_samples, at_least=1, at_most=1024)
        check_int("max_extensions", self.max_extensions, at_most=MAX_EXTENSIONS)
        check_int("probe_tokens", self.probe_tokens, at_least=1)
        check_number("exploration", self.exploration, at_least=0, at_most=1)
        Budget.within(self.max_thinking_tokens, answer_tokens=self.answer_tokens)

    @property
    def name(self) -> str:
        return "priced"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(
            self.max_thinking_tokens,
            answer_tokens=self.answer_tokens,
            price=self.price,
            spends_by_price=True,
            reads_curves=True,
        )

    @property
    def max_chains(self) -> int:
        return max(self.max_samples, ATTEMPTS)

    def decide(self, situation: Situation, rng: Random) -> Decision:
        plan = situation.plan
        if plan is None or plan.setting is None:
            return self._begin(situation, rng)
        if situation.pending:
            return self._conclude(situation, plan, plan.setting)
        extended = self._extend(situation, plan, plan.setting)
        return extended or self._vote(situation, plan, plan.setting)

    # The plan, once per query.

    def _begin(self, situation: Situation, rng: Random) -> Decision:
        curve = _known(situation)
        best = self._best(situation, curve)
        chance = self._chance(situation, curve, best)
        if rng.random() < chance:
            return self._explore(situation, curve, best, chance, rng)
        rival, tried = self._rival(situation, curve, best)
        best, taken = (rival, tried) if rng.random() < tried else (best, 1 - tried)
        setting = best.setting if best else ChainSetting()
        tries = situation.learns and situation.query.reference is not None
        share = situation.referenced_share
        shows = tries and rng.random() < chance_of_trials(curve, share, self.probe_tokens)
        setting = setting._replace(tried=shows or setting.kind == "exit")
        samples = min(best.votes.first_round if best else 1, self.max_samples)
        alone = self.max_samples == 1 or best is None or best.votes.is_one_vote
        plan = self._plan(situation, setting, alone, best=best, propensity=taken * (1 - chance))
        return self._draw(situation, plan, samples, final=alone and not setting.is_stepwise)

    def _explore(
        self,
        situation: Situation,
        curve: "PlanCurve | None",
        best: "PlanOption | None",
        chance: float,
        rng: Random,
    ) -> Decision:
        """A run that shows more than would pay; it was chosen with this chance."""
        several = self.max_samples > 1 and rng.random() < share_of_several(situation.greedy)
        far = best is None or is_cold(curve)
        far = far or rng.random() < WHOLE_RUNS
        extensions = self.max_extensions if far or curve is None else curve.extensions_of(best) + 1
        # Chains that vote together are spent alike.
        extensions = 0 if several else min(extensions, self.max_extensions)
        setting = ChainSetting("extend", extensions, tried=True)
        plan = self._plan(situation, setting, not several, is_exploration=True, propensity=chance)
        samples = EXPLORATION_CHAINS if several else 1
        return self._draw(situation, plan, min(samples, self.max_samples))

    def _chance(
        self, situation: Situation, curve: "PlanCurve | None", best: "PlanOption | None"
    ) -> float:
        """Of exploring: tokens for it are a share of what the best plan takes, less and less."""
        if not (self.exploration and situation.learns):
            return 0.0
        own, others = situation.exploration_runs, situation.exploration_runs_elsewhere
        if is_cold(curve, under_way=sum(own.values()), under_way_elsewhere=others):
            return 1.0
        if curve is None or best is None:
            return 0.0  # what others explore now will tell
        return self._checked_first(situation, chance_of_run(curve, best, self.max_samples))

    def _rival(
        self, situation: Situation, curve: "PlanCurve | None", best: "PlanOption | None"
    ) -> "tuple[PlanOption | None, float]":
        """Votes that are tried in place of the best plan, of one greedy chain, and how often."""
        tries = situation.greedy and situation.learns and self.max_samples > 1
        tries = tries and situation.query.limits.target_accuracy is None
        if not tries or curve is None or best is None or not best.votes.is_one_vote:
            return None, 0.0
        found = voting_rival(curve, best, self._price(situation))
        if found is None or not self._allows(found[0]):
            return None, 0.0
        return found[0], self._checked_first(situation, found[1])

    def _checked_first(self, situation: Situation, chance: float) -> float:
        is_checked, share = situation.query.reference is not None, situation.referenced_share
        return checked_first(min(self.exploration, chance), is_checked, share)

    def _best(self, situation: Situation, curve: "PlanCurve | None") -> "PlanOption | None":
        """At the price; with a target accuracy the cheapest that reaches it, or the nearest."""
        target = situation.query.limits.target_accuracy
        if curve is None:
            return None
        if target is None:
            table = curve.table(self._price(situation))
            return next((plan for plan in table.plans if self._allows(plan)), None)
        plans = [plan for table in curve.tables for plan in table.plans if self._allows(plan)]
        if reaching := [each for each in plans if each.forecast.accuracy - each.error >= target]:
            return min(reaching, key=lambda plan: plan.forecast.tokens)
        return max(plans, key=lambda plan: plan.forecast.accuracy, default=None)

    def _allows(self, plan: "PlanOption") -> bool:
        return (plan.setting.number or plan.setting.kind == "extend") <= self.max_extensions

    def _price(self, situation: Situation) -> float:
        return (situation.price or self.price or DEFAULT_PRICE) / situation.query.limits.value

    def _plan(
        self,
        situation: Situation,
        setting: ChainSetting,
        alone: bool,
        *,
        best: "PlanOption | None" = None,
        is_exploration: bool = False,
        propensity: float = 1.0,
    ) -> Plan:
        budget = situation.budget(
            self.max_thinking_tokens,
            answer_tokens=self.answer_tokens,
            extensions=setting.forced,
        )
        return Plan(
            setting.kind,
            budget,
            situation.chain_temperature(None) if alone else None,
            is_exploration,
            propensity,
            best.forecast if best else None,
            best.price if best else self._price(situation),
            setting,
        )

    # The plan, step by step.

    def _draw(
        self, situation: Situation, plan: Plan, samples: int, *, final: bool = False
    ) -> Decision:
        """New chains, as many and as long as the query's own limit lets."""
        budget, left = plan.budget, situation.tokens_left
        if left is not None:
            votes = situation.tally.votes
            typical = situation.tally.tokens / len(votes) if votes else budget.most_tokens
            if votes and left < typical:
                return Stop("budget")
            samples = max(1, min(samples, int(left / max(1.0, typical))))
            answer_tokens = max(1, min(budget.answer_tokens, left))
            thinking = max(0, left // samples - answer_tokens)
            budget = replace(budget.capped(thinking), answer_tokens=answer_tokens)
        tried = POSITIONS if plan.setting is not None and plan.setting.tried else ()
        at = tuple(place for place in tried if place < budget.max_thinking_tokens)
        probing = Probing(at=at, answer_tokens=self.probe_tokens) if at else None
        return Draw(
            samples,
            budget,
            None if situation.tally.history else plan.temperature,
            plan,
            final=final and samples == 1,
            probing=probing,
            signals=_signals(situation, plan),
        )

    def _conclude(self, situation: Situation, plan: Plan, setting: ChainSetting) -> Decision:
        """End the thinking of a chain whose trial answers say so; go on with the others."""
        curve = _known(situation)
        rule = curve.exit_rule(setting) if curve and setting.kind == "exit" else None
        if rule is not None:
            for chain, probes in groupby(situation.probes, key=lambda probe: probe.chain):
                if rule.concludes(tuple(probes)):
                    return Conclude(chain)
        return Draw(1, plan.budget, None, plan)

    def _extend(self, situation: Situation, plan: Plan, setting: ChainSetting) -> Decision | None:
        """One more extension of the first chain that needs one; None where none does."""
        if not setting.is_stepwise:
            return None
        by_chain: dict[int, list[Vote]] = {}
        for vote in situation.tally.history:
            by_chain.setdefault(vote.chain, []).append(vote)
        chains = sorted(by_chain)[: 1 if plan.is_exploration else None]
        for ends in (by_chain[chain] for chain in chains):
            if self._is_extended(situation, plan, setting, ends):
                last, temperature = ends[-1].chain, plan.temperature if len(by_chain) == 1 else None
                signals = _signals(situation, plan)
                return Extend(last, 1, plan.budget, temperature, plan, signals=signals)
        return None

    def _is_extended(
        self, situation: Situation, plan: Plan, setting: ChainSetting, ends: Sequence[Vote]
    ) -> bool:
        last, left = ends[-1], situation.tokens_left
        is_fixed = plan.is_exploration or setting.number > 0
        most = int(setting.value) if is_fixed else self.max_extensions
        if last.extensions >= most or not last.ended_by_itself:
            return False
        step = max(
            after.thinking_tokens - before.thinking_tokens
            for before, after in pairwise([replace(ends[0], thinking_tokens=0), *ends])
        )
        has_room = last.thinking_tokens + step <= plan.budget.max_thinking_tokens
        if not has_room or (left is not None and left < step + plan.budget.answer_tokens):
            return False
        if is_fixed:
            return True
        curve = _known(situation)
        return curve is not None and curve.is_extended(setting, ends)

    def _vote(self, situation: Situation, plan: Plan, setting: ChainSetting) -> Decision:
        drawn = len(situation.tally.votes)
        if situation.tally.leader is None:
            return Stop("no answer") if drawn >= ATTEMPTS else self._draw(situation, plan, 1)
        if drawn >= self.max_samples:
            return Stop("plan done")
        curve = _known(situation)
        best, standing = self._current(situation, plan, setting), situation.tally.standing
        more = 0
        if curve and best:
            first = min(situation.tally.history, key=lambda vote: (vote.chain, vote.extensions))
            more = curve.round_size(best, standing, first, situation.query.difficulty)
        samples = min(more, self.max_samples - drawn)
        if samples <= 0:
            return Stop("not worth it" if standing.runner_up else "settled")
        return self._draw(situation, plan, samples)

    def _current(
        self, situation: Situation, plan: Plan, setting: ChainSetting
    ) -> "PlanOption | None":
        """The plan as it is known now; that of an exploration run is the best one."""
        if (curve := _known(situation)) is None:
            return None
        table = curve.table(plan.price or self._price(situation))
        if plan.is_exploration:
            return table.plans[0]
        return table.plan(setting, is_alone=plan.temperature == 0)


def _signals(situation: Situation, plan: Plan) -> Signals | None:
    """Confidence, where plans are told apart by it, and of exploration runs, which show whether."""
    curve = _known(situation)
    is_measured = plan.is_exploration or (curve is not None and curve.is_measured)
    return Signals(top=1, window=TAIL_TOKENS) if is_measured else None


def _known(situation: Situation) -> "PlanCurve | None":
    """What has been learned of the query's class."""
    return situation.curve.plans if situation.curve else None
