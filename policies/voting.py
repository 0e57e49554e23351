"""Votes in rounds until a rule is satisfied: the frame that stopping rules fill in."""

from dataclasses import dataclass
from random import Random

from policies.base import Decision, Draw, Policy, Situation, Stop
from policies.options import PolicyOptions
from policies.plan import Budget, check_int, check_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Voting(Policy):
    """Draws `samples_per_round` at a time until a rule says that the vote is settled.

    A round is cut short as soon as the vote is settled, so its size trades tokens for time.
    """

    max_samples: int = 40
    samples_per_round: int = 4
    max_thinking_tokens: int | None = None
    answer_tokens: int = 128
    temperature: float | None = None

    def __post_init__(self) -> None:
        check_int("max_samples", self.max_samples, at_least=1, at_most=1024)
        check_int("samples_per_round", self.samples_per_round, at_least=1, at_most=1024)
        Budget.within(self.max_thinking_tokens, answer_tokens=self.answer_tokens)
        check_number("temperature", self.temperature, above=0, at_most=2, optional=True)

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(self.max_thinking_tokens, answer_tokens=self.answer_tokens)

    @property
    def max_chains(self) -> int:
        return self.max_samples

    def settled(self, situation: Situation) -> bool:
        """Whether the vote can stop; asked only after a first vote."""
        raise NotImplementedError

    def next_round(self, situation: Situation) -> int:
        return self.samples_per_round

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if situation.tally.leader is not None and self.settled(situation):
            return Stop("settled")
        left = self.max_samples - len(situation.tally.votes)
        if left <= 0:
            return Stop("plan done")
        budget = situation.budget(self.max_thinking_tokens, answer_tokens=self.answer_tokens)
        return Draw(min(self.next_round(situation), left), budget, self.temperature)


def share(name: str, value: float, *, below: float = 1.0) -> None:
    """Refuse what is no chance between 0 and `below`, both excluded."""
    if not 0 < value < below:
        raise ValueError(f"{name} must be in (0, {below:g}), got {value!r}")
