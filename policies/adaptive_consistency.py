"""Votes until the leader is unlikely to be overtaken."""

from dataclasses import dataclass

from scipy.special import betainc

from policies.base import Situation
from policies.voting import Voting


@dataclass(frozen=True, slots=True)
class AdaptiveConsistency(Voting):
    """Stop when P(leader beats runner-up) passes a threshold (Aggarwal et al., arXiv 2305.11860).

    With a votes for the leader and b for the runner-up, the chance is the Beta(a+1, b+1) mass above
    one half; the paper's threshold is 0.95 with at most 40 samples.
    """

    threshold: float = 0.95

    def __post_init__(self) -> None:
        Voting.__post_init__(self)
        if not 0.5 <= self.threshold < 1:
            raise ValueError(f"threshold must be in [0.5, 1), got {self.threshold!r}")

    @property
    def name(self) -> str:
        return "adaptive_consistency"

    def settled(self, situation: Situation) -> bool:
        return chance_of_lead(*situation.tally.standing[:2]) >= self.threshold


def chance_of_lead(leader: int, runner_up: int) -> float:
    """P(p > 1/2) for p ~ Beta(leader + 1, runner_up + 1)."""
    return 1.0 - float(betainc(leader + 1, runner_up + 1, 0.5))
