"""What a class's curve may learn of one answered query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from policies.curves.plans.settings import ChainSetting
from policies.curves.vote_counts import MOST_TOKENS
from policies.plan import Budget, Plan, check_number
from policies.signals import Confidence, Probe
from policies.tally import Vote

MOST_NATS = 1e4
"""Of a token's confidence; engines say -9999 of what cannot come."""


def predicted(plan: Plan | None, chance: float | None) -> float | None:
    """The chance of an answer, where a label of it shows how good such predictions are.

    Exploration runs fall on labelled queries: what they miss says nothing of the others.
    """
    return None if plan is not None and plan.is_exploration else chance


@dataclass(frozen=True, slots=True)
class Observation:
    """What one answered query shows."""

    #: Its class.
    query_class: str
    #: Its votes and ends, in order.
    history: tuple[Vote, ...]
    #: The budget of its chains.
    budget: Budget
    #: Of its chains: 0 is greedy, None is the one that the model recommends.
    temperature: float | None
    #: The plan of its policy; None where the policy has none.
    plan: Plan | None = None
    #: Whether each labelled answer is right; empty without a label.
    right: Mapping[str, bool] = field(default_factory=dict)
    #: Trial answers of its chains, in order by chain.
    probes: tuple[Probe, ...] = ()
    #: Predicted chance that the served answer is right; None without a prediction.
    chance: float | None = None
    #: What its caller says, in [0, 1] (`Query.difficulty`).
    difficulty: float | None = None

    @property
    def setting(self) -> ChainSetting:
        """How its chains were spent; where no plan says so, they went to their own ends."""
        if self.plan is not None and self.plan.setting is not None:
            return self.plan.setting
        return ChainSetting()

    @property
    def shows_plans(self) -> bool:
        """Whether its chains tell of those that plans draw.

        A chain alone that another policy has cut, and chains that it forced on in one go, do not.
        """
        if self.plan is not None and self.plan.setting is not None:
            return True
        if not self.history or self.history[0].extensions:
            return False
        return len(self.history) > 1 or not self.is_cut(self.history[0])

    @property
    def predicted(self) -> float | None:
        """The chance of the answer, where labels may correct it."""
        return predicted(self.plan, self.chance)

    def truth(self, answer: str | None) -> bool | None:
        """Whether an answer is right; no answer at all is wrong as soon as any label is known."""
        if answer is None:
            return False if self.right else None
        return self.right.get(answer)

    @property
    def answers(self) -> set[str]:
        """All that were given, in trials too."""
        given = {vote.answer for vote in self.history}
        given |= {probe.answer for probe in self.probes}
        return {answer for answer in given if answer is not None}

    def check(self) -> None:
        """Raise ValueError where an engine reports what cannot be."""
        if self.chance is not None and not 0 <= self.chance <= 1:
            raise ValueError(f"chance must be in [0, 1], got {self.chance!r}")
        for vote in self.history:
            # Spelt out: every query passes here, and a loop over names takes twice as long or more.
            if not (
                0 <= vote.tokens <= MOST_TOKENS
                and 0 <= vote.thinking_tokens <= MOST_TOKENS
                and 0 <= vote.extensions <= MOST_TOKENS
                and 0 <= vote.weight <= MOST_TOKENS
            ):
                _refuse(vote)
            if vote.confidence is not None:
                _check_confidence(vote.confidence)
        _check_probes(self.probes, self.history)

    def is_cut(self, vote: Vote) -> bool:
        is_full = vote.thinking_tokens >= self.budget.max_thinking_tokens
        return is_full or vote.stop_cause in ("max_thinking", "context")


def _refuse(vote: Vote) -> None:
    for name in ("tokens", "thinking_tokens", "extensions", "weight"):
        count = getattr(vote, name)
        if not 0 <= count <= MOST_TOKENS:
            raise ValueError(f"{name} must be in [0, {MOST_TOKENS:g}], got {count!r}")


def _check_confidence(confidence: Confidence) -> None:
    """One figure that is none would stay in the sums of its class for ever."""
    for name in ("tail", "answer"):
        value = getattr(confidence, name)
        check_number(name, value, at_least=-MOST_NATS, at_most=MOST_NATS, optional=True)


def _check_probes(probes: Sequence[Probe], history: Sequence[Vote]) -> None:
    """Trial answers of a chain come one after another, before it ends."""
    if not probes:
        return
    ends = {vote.chain: vote.thinking_tokens for vote in reversed(history)}
    before: dict[int, int] = {}
    for probe in probes:
        check_number("probability", probe.probability, at_least=0, at_most=1)
        check_number("tokens", probe.tokens, at_least=0, at_most=MOST_TOKENS)
        least, most = before.get(probe.chain, 0), ends.get(probe.chain, MOST_TOKENS)
        check_number("thinking_tokens", probe.thinking_tokens, at_least=least, at_most=most)
        before[probe.chain] = probe.thinking_tokens
