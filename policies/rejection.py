"""Draw until a chain ends within the budget by itself: an oracle for what short chains know."""

from dataclasses import dataclass
from random import Random

from policies.base import Decision, Draw, Policy, Situation, Stop
from policies.options import PolicyOptions
from policies.plan import Budget, check_int, check_number

ACCEPTED = ("natural", "extensions")


@dataclass(frozen=True, slots=True)
class RejectionSampling(Policy):
    """Tries at temperature 1 until one ends its thinking within the cap (s1, section 5.1).

    The paper tries without limit; here after `max_tries` none is accepted, and there is no answer.
    `samples_per_round` tries run at once. The first in the order of their drawing is taken, not the
    first to finish: that would favour short chains among those accepted. So the answer is the one
    that tries one after another would have found.
    """

    max_thinking_tokens: int | None = None
    max_tries: int = 64
    samples_per_round: int = 4
    answer_tokens: int = 128
    temperature: float | None = 1.0

    def __post_init__(self) -> None:
        Budget.within(self.max_thinking_tokens, answer_tokens=self.answer_tokens)
        check_int("max_tries", self.max_tries, at_least=1, at_most=1024)
        check_int("samples_per_round", self.samples_per_round, at_least=1, at_most=1024)
        check_number("temperature", self.temperature, above=0, at_most=2, optional=True)

    @property
    def name(self) -> str:
        return "rejection_sampling"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(self.max_thinking_tokens, answer_tokens=self.answer_tokens)

    @property
    def max_chains(self) -> int:
        return self.max_tries

    def decide(self, situation: Situation, rng: Random) -> Decision:
        tries = situation.tally.votes
        accepted = [vote.chain for vote in tries if vote.stop_cause in ACCEPTED]
        if accepted:
            first, known = min(accepted), {vote.chain for vote in tries}
            if not situation.pending or known.issuperset(range(first)):
                return Stop("settled", weights=((first, 1.0),))
        left = self.max_tries - len(tries)
        if left <= 0:
            return Stop("no try accepted", weights=())
        budget = situation.budget(
            self.max_thinking_tokens, answer_tokens=self.answer_tokens, answer_when_cut=False
        )
        return Draw(min(self.samples_per_round, left), budget, self.temperature)
