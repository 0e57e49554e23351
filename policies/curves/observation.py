"""What a class's curve may learn of one answered query."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.curves.exit_statistics import ProbeTrajectory
from policies.curves.vote_counts import MOST_TOKENS
from policies.plan import Budget, Plan, is_single_chain
from policies.signals import Probe
from policies.tally import Vote


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
    #: Of a chain with trial answers: such a query is observed for exits only.
    trajectory: ProbeTrajectory | None = None
    #: Trial answers of the chains of a joint plan, in order by chain.
    probes: tuple[Probe, ...] = ()
    #: Predicted chance that the served answer is right; None without a prediction.
    chance: float | None = None
    #: What its caller says, in [0, 1] (`Query.difficulty`).
    difficulty: float | None = None

    @property
    def is_single_chain(self) -> bool:
        """Whether it shows extensions and caps, rather than votes."""
        return is_single_chain(self.temperature, self.plan)

    def truth(self, answer: str | None) -> bool | None:
        """Whether an answer is right; no answer at all is wrong as soon as any label is known."""
        if answer is None:
            return False if self.right else None
        return self.right.get(answer)

    @property
    def answers(self) -> set[str]:
        """All that were given, in trials too."""
        given = {vote.answer for vote in self.history}
        given |= {probe.answer for probe in self.trajectory.probes} if self.trajectory else set()
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

    def is_cut(self, vote: Vote) -> bool:
        is_full = vote.thinking_tokens >= self.budget.max_thinking_tokens
        return is_full or vote.stop_cause in ("max_thinking", "context")


def _refuse(vote: Vote) -> None:
    for name in ("tokens", "thinking_tokens", "extensions", "weight"):
        count = getattr(vote, name)
        if not 0 <= count <= MOST_TOKENS:
            raise ValueError(f"{name} must be in [0, {MOST_TOKENS:g}], got {count!r}")
