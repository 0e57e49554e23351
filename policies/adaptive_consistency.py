"""Votes until the leader is unlikely to be overtaken."""

from dataclasses import dataclass
from random import Random

from scipy.special import betainc

from policies.base import Decision, Draw, Situation, Stop
from policies.plan import Budget, whole


@dataclass(frozen=True, slots=True)
class AdaptiveConsistency:
    """Stop when P(leader beats runner-up) passes a threshold (Aggarwal et al., arXiv 2305.11860).

    With a votes for the leader and b for the runner-up, the chance is the Beta(a+1, b+1) mass above
    one half; the paper's threshold is 0.95 with at most 40 samples. Samples come in waves of
    `wave`, and a wave is cut short as soon as the vote is settled.
    """

    threshold: float = 0.95
    max_samples: int = 40
    wave: int = 4
    max_thinking_tokens: int | None = None
    answer_tokens: int = 128
    temperature: float | None = None

    def __post_init__(self) -> None:
        if not 0.5 <= self.threshold < 1:
            raise ValueError(f"threshold must be in [0.5, 1), got {self.threshold!r}")
        whole("max_samples", self.max_samples, at_least=1, at_most=1024)
        whole("wave", self.wave, at_least=1, at_most=1024)
        Budget(self.max_thinking_tokens or 0, 0, 0, None, self.answer_tokens)

    @property
    def name(self) -> str:
        return "adaptive_consistency"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if chance_of_lead(*situation.tally.standing[:2]) >= self.threshold:
            return Stop("settled")
        left = self.max_samples - len(situation.tally.ballots)
        if left <= 0:
            return Stop("plan done")
        budget = situation.budget(self.max_thinking_tokens, answer_tokens=self.answer_tokens)
        return Draw(min(self.wave, left), budget, self.temperature)


def chance_of_lead(leader: int, runner_up: int) -> float:
    """P(p > 1/2) for p ~ Beta(leader + 1, runner_up + 1)."""
    return 1.0 - float(betainc(leader + 1, runner_up + 1, 0.5))
