"""Self-consistency: a fixed number of samples, and the most frequent answer wins."""

from dataclasses import dataclass
from random import Random

from policies.base import Decision, Draw, Policy, Situation, Stop
from policies.options import PolicyOptions
from policies.plan import Budget, check_int, check_number


@dataclass(frozen=True, slots=True)
class Majority(Policy):
    """`samples` chains in parallel, majority vote (Wang et al., arXiv 2203.11171; s1, figure 4b).

    Sampled at the model's recommended temperature unless one is given: votes of one greedy chain
    would all be the same.
    """

    samples: int = 8
    max_thinking_tokens: int | None = None
    extensions: int = 0
    answer_tokens: int = 128
    temperature: float | None = None

    def __post_init__(self) -> None:
        check_int("samples", self.samples, at_least=1, at_most=1024)
        Budget.within(
            self.max_thinking_tokens, extensions=self.extensions, answer_tokens=self.answer_tokens
        )
        check_number("temperature", self.temperature, at_least=0, at_most=2, optional=True)

    @property
    def name(self) -> str:
        return "majority"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(
            self.max_thinking_tokens,
            extensions=self.extensions,
            answer_tokens=self.answer_tokens,
        )

    @property
    def max_chains(self) -> int:
        return self.samples

    def decide(self, situation: Situation, rng: Random) -> Decision:
        missing = self.samples - len(situation.tally.votes)
        if missing <= 0:
            return Stop("plan done")
        budget = situation.budget(
            self.max_thinking_tokens,
            extensions=self.extensions,
            answer_tokens=self.answer_tokens,
        )
        return Draw(missing, budget, self.temperature)
