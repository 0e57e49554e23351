"""One chain that answers as soon as the tokens ahead would buy less than they cost."""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from policies.base import Conclude, Decision, Draw, Policy, Situation, Stop
from policies.curves.counts import upper_standard_error
from policies.curves.exit_statistics import POSITIONS
from policies.exploration import checked_first, curiosity
from policies.options import PolicyOptions
from policies.plan import Budget, Plan, check_int, check_number
from policies.signals import Probing

if TYPE_CHECKING:
    from policies.curves.exit_curve import ExitCurve, ExitRule

DEFAULT_EXIT_PRICE = 1e-5
COLD_RUNS = 30
"""Exploration runs that a class needs before its curve is trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedExit(Policy):
    """Ask for trial answers on the way; conclude where the tokens ahead are not worth it.

    Stopping at the best expected value is Wald's; that a price per token should decide it is from
    CLEAR (arXiv 2606.03092) and, for trial answers, what Dynasor (2412.20993) and DEER (2504.15895)
    leave to fixed thresholds. Here what more thinking is worth is learned while serving.
    An exploration run is never concluded and so shows what every earlier exit would have given: all
    first queries of a class are such, later a share of at most `exploration` that falls with the
    root of the queries seen, those first that bring their right answer. A `price` of None is
    whatever the server asks.
    """

    price: float | None = None
    max_thinking_tokens: int | None = None
    answer_tokens: int = 128
    probe_tokens: int = 20
    exploration: float = 0.08
    temperature: float | None = None

    def __post_init__(self) -> None:
        check_number("price", self.price, above=0, below=1, optional=True)
        check_int("probe_tokens", self.probe_tokens, at_least=1)
        check_number("exploration", self.exploration, at_least=0, at_most=1)
        check_number("temperature", self.temperature, at_least=0, at_most=2, optional=True)
        self._budget()

    @property
    def name(self) -> str:
        return "priced_exit"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(
            self.max_thinking_tokens,
            answer_tokens=self.answer_tokens,
            price=self.price,
            reads_curves=True,
        )

    @property
    def max_chains(self) -> int:
        return 1

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if situation.tally.history:
            exited = situation.tally.history[-1].stop_cause == "early_exit"
            return Stop("not worth it" if exited else "plan done")
        plan = situation.plan or self._choose(situation, rng)
        if situation.probes and not plan.is_exploration:
            rule = self._rule(situation)
            if rule is not None and rule.concludes(situation.probes):
                return Conclude(situation.probes[-1].chain)
        at = tuple(p for p in POSITIONS if p < plan.budget.max_thinking_tokens)
        probing = Probing(at=at, answer_tokens=self.probe_tokens) if at else None
        return Draw(1, plan.budget, plan.temperature, plan, final=True, probing=probing)

    def _choose(self, situation: Situation, rng: Random) -> Plan:
        curve = _exits(situation)
        if curve is None or curve.whole < COLD_RUNS:
            chance = 1.0 if self.exploration else 0.0
        else:
            chance = curiosity(curve.queries, self.exploration)
            share = situation.curve.referenced_share if situation.curve else 0.0
            chance = checked_first(chance, situation.query.reference is not None, share)
        is_exploration = rng.random() < chance
        rule = None if is_exploration else self._rule(situation)
        return Plan(
            "exit",
            self._budget().capped(situation.max_thinking_tokens),
            situation.chain_temperature(self.temperature),
            is_exploration,
            chance if is_exploration else 1 - chance,
            rule.forecast if rule else None,
        )

    def _rule(self, situation: Situation) -> "ExitRule | None":
        """At the price; with a target accuracy the cheapest that surely reaches it, or the nearest.

        Surely as in `Arm.accuracy_lower_bound`.
        """
        curve, target = _exits(situation), situation.query.limits.target_accuracy
        if curve is None or situation.curve is None:
            return None
        if target is None:
            price = situation.price or self.price or DEFAULT_EXIT_PRICE
            return curve.rule(price / situation.query.limits.value)
        labels = situation.curve.labelled
        reaching = [
            rule
            for rule in curve.rules
            if rule.forecast.accuracy - upper_standard_error(rule.forecast.accuracy, labels)
            >= target
        ]
        if reaching:
            return min(reaching, key=lambda rule: rule.forecast.tokens)
        return max(curve.rules, key=lambda rule: rule.forecast.accuracy)

    def _budget(self) -> Budget:
        return Budget.within(self.max_thinking_tokens, answer_tokens=self.answer_tokens)


def _exits(situation: Situation) -> "ExitCurve | None":
    return situation.curve.exits if situation.curve else None
