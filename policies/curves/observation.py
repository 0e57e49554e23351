"""What a class's curve may learn of one answered query."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.curves.exit_statistics import ProbeTrajectory
from policies.curves.vote_counts import MOST_TOKENS
from policies.plan import Budget, Plan
from policies.tally import Vote


@dataclass(frozen=True, slots=True)
class Observation:
    """One answered query. `right` tells of checked answers; it is empty without a label.

    `trajectory` is that of a chain that was asked for trial answers and may have been concluded: it
    tells of exits only, and its labels are those of the query. `chance` is that of the answer that
    was served to be right, as it was foretold.
    """

    query_class: str
    history: tuple[Vote, ...]
    budget: Budget
    temperature: float | None
    plan: Plan | None = None
    right: Mapping[str, bool] = field(default_factory=dict)
    trajectory: ProbeTrajectory | None = None
    chance: float | None = None

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
