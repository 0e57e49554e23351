"""Best-of-n: so many chains, and a verifier says which of them is to be believed."""

from dataclasses import dataclass
from random import Random

from policies.base import Decision, Draw, Policy, Situation, Stop
from policies.options import PolicyOptions
from policies.plan import Budget, check_int, check_number
from policies.rewards import Aggregation, Selection, weights


@dataclass(frozen=True, slots=True)
class BestOfN(Policy):
    """`samples` chains in parallel, the answer of the highest reward (Cobbe et al., arXiv
    2110.14168), or the vote weighted by rewards (Wu et al., arXiv 2408.00724).

    `aggregation` makes one reward of those of a chain's steps.
    """

    samples: int = 8
    choose: Selection = "best"
    aggregation: Aggregation = "last"
    max_thinking_tokens: int | None = None
    extensions: int = 0
    answer_tokens: int = 128
    temperature: float | None = None

    def __post_init__(self) -> None:
        check_int("samples", self.samples, at_least=1, at_most=1024)
        Budget.within(
            self.max_thinking_tokens, extensions=self.extensions, answer_tokens=self.answer_tokens
        )
        check_number("temperature", self.temperature, above=0, at_most=2, optional=True)

    @property
    def name(self) -> str:
        return "best_of_n"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(
            self.max_thinking_tokens,
            extensions=self.extensions,
            answer_tokens=self.answer_tokens,
            reads_rewards=True,
        )

    @property
    def max_chains(self) -> int:
        return self.samples

    def decide(self, situation: Situation, rng: Random) -> Decision:
        votes = situation.tally.votes
        missing = self.samples - len(votes)
        if missing <= 0 and not situation.pending:
            return Stop("plan done", weights(votes, self.choose, self.aggregation))
        budget = situation.budget(
            self.max_thinking_tokens,
            extensions=self.extensions,
            answer_tokens=self.answer_tokens,
        )
        return Draw(max(1, missing), budget, self.temperature)
