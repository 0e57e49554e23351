"""Spends tokens where they buy most accuracy, by curves learned from earlier queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from policies.base import Decision, Draw, Extend, Policy, Situation, Stop
from policies.curves.extension_counts import MAX_EXTENSIONS, AnswerState, states
from policies.exploration import choices
from policies.options import PolicyOptions
from policies.plan import Budget, Plan, check_int, check_number
from policies.price import DEFAULT_PRICE
from policies.tally import Vote

if TYPE_CHECKING:
    from policies.curves.plan_table import Arm, PlanTable
    from policies.curves.vote_rule import VoteRule

COLD_RUNS = 3
"""Exploration runs of each kind that a class needs before its curve is trusted."""
EXPLORATION_VOTES = 6
AGREEMENT_VOTES = 3
"""Votes of an exploration run: so many to learn what votes reach, and so many to learn how they
scatter, which is enough where there is nothing to compare votes with."""
LEAD = 3
"""Votes by which an answer must lead as long as nothing is known of a class."""
ATTEMPTS = 3
"""Chains without an answer after which a query is given up."""


@dataclass(frozen=True, slots=True)
class Priced(Policy):
    """One plan per query: the one with the highest value * accuracy - price * tokens.

    Plans are a chain that is extended as long as its state says that a "Wait" pays, votes as long
    as the next one pays, and a chain cut short. Single chains are greedy where the model's thinking
    format means it so, and else sampled as votes are. One price for all classes puts
    tokens where they buy most (CLEAR, arXiv 2606.03092); here the curves are learned while serving.
    The first queries of a class are exploration runs, later a share of at most `exploration` that
    falls
    with the square root of the queries seen; up to as many are trials of what may yet prove best,
    and further ones of more votes (policies/exploration.py). A `price` of None is whatever the
    server asks. `votes_only` leaves the single chains out.
    """

    price: float | None = None
    max_samples: int = 16
    max_extensions: int = 5
    max_thinking_tokens: int | None = None
    answer_tokens: int = 128
    exploration: float = 0.08
    votes_only: bool = False

    def __post_init__(self) -> None:
        check_number("price", self.price, above=0, below=1, optional=True)
        check_int("max_samples", self.max_samples, at_least=1, at_most=1024)
        check_int("max_extensions", self.max_extensions, at_most=MAX_EXTENSIONS)
        Budget.within(self.max_thinking_tokens, answer_tokens=self.answer_tokens)
        check_number("exploration", self.exploration, at_least=0, at_most=1)

    @property
    def name(self) -> str:
        return "priced"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(
            self.max_thinking_tokens,
            answer_tokens=self.answer_tokens,
            price=self.price,
            votes_only=self.votes_only,
            spends_by_price=True,
            reads_curves=True,
        )

    @property
    def max_chains(self) -> int:
        return max(self.max_samples, ATTEMPTS)

    def decide(self, situation: Situation, rng: Random) -> Decision:
        plan = situation.plan or self._choose(situation, rng)
        if situation.tally.leader is None:
            return self._begin(situation, plan)
        if plan.name == "extensions":
            return self._wait(situation, plan)
        if plan.name == "votes":
            return self._vote(situation, plan)
        return Stop("plan done")

    # The plan, once per query.

    def _choose(self, situation: Situation, rng: Random) -> Plan:
        curve = situation.curve
        shown = {
            "extensions": curve.exploration_chains if curve else 0.0,
            "votes": curve.exploration_votes if curve else 0.0,
        }
        missing = {
            kind: max(0.0, COLD_RUNS - runs - situation.exploration_runs.get(kind, 0))
            for kind, runs in shown.items()
        }
        if self.votes_only:
            del missing["extensions"]
        total = sum(missing.values())
        exploration = self.exploration if situation.learns else 0.0
        if exploration and total:
            kind = "votes" if rng.random() * total < missing["votes"] else "extensions"
            return self._plan(
                situation, kind, is_exploration=True, propensity=missing[kind] / total
            )
        arms = self._arms(situation)
        if curve is None or not arms:
            return self._plan(situation, "votes" if self.votes_only else "extensions")
        if not exploration:
            return self._plan(situation, arms[0].name, arm=arms[0])
        offered = choices(
            curve,
            arms,
            self._price(situation),
            exploration=exploration,
            checked=situation.query.reference is not None,
            votes_only=self.votes_only,
            aims=situation.query.limits.target_accuracy is not None,
        )
        ((arm, is_exploration, propensity),) = rng.choices(
            offered, [each.propensity for each in offered]
        )
        return self._plan(
            situation, arm.name, arm=arm, is_exploration=is_exploration, propensity=propensity
        )

    def _plan(
        self,
        situation: Situation,
        kind: str,
        *,
        arm: "Arm | None" = None,
        is_exploration: bool = False,
        propensity: float = 1.0,
    ) -> Plan:
        cap = self.max_thinking_tokens
        if arm and arm.max_thinking_tokens is not None:
            most = arm.max_thinking_tokens
            cap = most if cap is None else min(cap, most)
        budget = situation.budget(cap, answer_tokens=self.answer_tokens)
        temperature = None if kind == "votes" else situation.chain_temperature(None)
        forecast = arm.forecast if arm and not is_exploration else None
        price = arm.price if arm else None
        return Plan(kind, budget, temperature, is_exploration, propensity, forecast, price)

    def _price(self, situation: Situation) -> float:
        """Accuracy that one token must buy, by the worth of this query."""
        return (situation.price or self.price or DEFAULT_PRICE) / situation.query.limits.value

    def _arms(self, situation: Situation) -> "Sequence[Arm]":
        """Best first; with a target accuracy only the cheapest that surely does, or the nearest."""
        curve, target = situation.curve, situation.query.limits.target_accuracy
        if curve is None:
            return ()
        if target is None:
            return self._allowed(curve.plan_table(self._price(situation)))
        arms = [arm for table in curve.plan_tables for arm in self._allowed(table)]
        reaching = [arm for arm in arms if arm.accuracy_lower_bound >= target]
        if reaching:
            return [min(reaching, key=lambda arm: arm.forecast.tokens)]
        return sorted(arms, key=lambda arm: arm.forecast.accuracy)[-1:]

    def _allowed(self, table: "PlanTable") -> "Sequence[Arm]":
        return [arm for arm in table.arms if arm.name == "votes" or not self.votes_only]

    def _plan_table(self, situation: Situation, plan: Plan) -> "PlanTable | None":
        """Where the rule of a plan stands."""
        curve = situation.curve
        return curve.plan_table(plan.price or self._price(situation)) if curve else None

    # The plan, step by step.

    def _begin(self, situation: Situation, plan: Plan) -> Decision:
        """The first chains, or another sampled one in place of chains that gave no answer."""
        if situation.tally.history:
            if len(situation.tally.votes) >= ATTEMPTS and not situation.pending:
                return Stop("no answer")
            return self._draw(situation, plan)
        if plan.name != "votes":
            return self._draw(situation, plan)
        rule = self._vote_rule(situation, plan)
        needed = rule.first_round if rule else LEAD
        return self._draw(situation, plan, samples=self._at_least_shown(situation, plan, needed))

    def _wait(self, situation: Situation, plan: Plan) -> Decision:
        last = situation.tally.history[-1]
        if last.extensions >= self.max_extensions:
            return Stop("plan done")
        if last.stop_cause in ("max_thinking", "context"):
            return Stop("budget")
        chain = [vote for vote in situation.tally.history if vote.chain == last.chain]
        *_, state = states([vote.answer for vote in chain])
        if not plan.is_exploration and not self._wait_pays(situation, plan, state):
            return Stop("settled" if state.run > 1 else "not worth it")
        budget = _budget_to_extend(situation, plan, chain)
        if budget is None:
            return Stop("budget")
        return Extend(last.chain, 1, budget, plan.temperature, plan)

    def _wait_pays(self, situation: Situation, plan: Plan, state: AnswerState) -> bool:
        """By the curve; without one until two answers in a row are equal."""
        table = self._plan_table(situation, plan)
        if table is None or table.extension_rule is None:
            return state.run < 2
        return state in table.extension_rule.goes_on

    def _vote(self, situation: Situation, plan: Plan) -> Decision:
        if len(situation.tally.votes) >= self.max_samples:
            return Stop("plan done")
        samples = self._at_least_shown(situation, plan, self._votes_needed(situation, plan))
        if samples == 0:
            return Stop("not worth it" if situation.tally.standing.runner_up else "settled")
        return self._draw(situation, plan, samples=samples)

    def _at_least_shown(self, situation: Situation, plan: Plan, needed: int) -> int:
        """Votes to draw next, in an exploration run up to what it is to show, needed or not."""
        drawn = len(situation.tally.votes)
        if plan.is_exploration:
            shown = AGREEMENT_VOTES if self.votes_only else EXPLORATION_VOTES
            needed = max(needed, shown - drawn)
        return min(needed, self.max_samples - drawn)

    def _votes_needed(self, situation: Situation, plan: Plan) -> int:
        """Votes to draw next; without a curve until one answer leads by enough."""
        rule, standing = self._vote_rule(situation, plan), situation.tally.standing
        if rule is None:
            return max(0, LEAD - standing.leader + standing.runner_up)
        start = min(situation.tally.history, key=lambda vote: vote.chain)
        return rule.round_size(standing, start.thinking_tokens)

    def _vote_rule(self, situation: Situation, plan: Plan) -> "VoteRule | None":
        table = self._plan_table(situation, plan)
        return table.vote_rule if table else None

    def _draw(self, situation: Situation, plan: Plan, *, samples: int = 1) -> Decision:
        """New chains, as many and as long as the query's own limit lets."""
        left = situation.tokens_left
        budget = plan.budget
        if left is not None:
            typical = _typical_tokens(situation, budget)
            if situation.tally.history and left < typical:
                return Stop("budget")
            samples = max(1, min(samples, int(left / (typical + budget.answer_tokens))))
            answer_tokens = max(1, min(budget.answer_tokens, left))
            thinking = max(0, left // samples - answer_tokens)
            budget = Budget(min(budget.max_thinking_tokens, thinking), answer_tokens=answer_tokens)
        temperature = None if situation.tally.history else plan.temperature
        return Draw(samples, budget, temperature, plan, final=plan.name == "cap")


def _budget_to_extend(situation: Situation, plan: Plan, chain: Sequence[Vote]) -> Budget | None:
    """None where there is no room for a Wait as long as the longest step so far."""
    last = chain[-1]
    steps = [chain[0].thinking_tokens] + [
        after.thinking_tokens - before.thinking_tokens for before, after in pairwise(chain)
    ]
    most = plan.budget.max_thinking_tokens
    left = situation.tokens_left
    if left is not None:
        most = min(most, last.thinking_tokens + left - plan.budget.answer_tokens)
    if last.thinking_tokens + max(steps) > most:
        return None
    return Budget(most, answer_tokens=plan.budget.answer_tokens)


def _typical_tokens(situation: Situation, budget: Budget) -> float:
    """Tokens of one chain: as seen on this query, else in this class, else the worst case."""
    votes = situation.tally.votes
    if votes:
        return max(1.0, situation.tally.tokens / len(votes))
    if situation.curve and situation.curve.votes:
        return max(1.0, situation.curve.votes.first_tokens)
    return float(budget.most_tokens)
