"""Votes until the mode is known at a given error, whatever the rule that asks."""

import math
from dataclasses import dataclass

from policies.base import Situation
from policies.plan import check_int
from policies.voting import Voting, share


@dataclass(frozen=True, slots=True)
class PriorPosteriorRatio(Voting):
    """PPR-1v1: every answer against the leader, one to one (Jain et al., arXiv 2109.05047).

    Stop when the Beta(a+1, b+1) density at one half is at most delta / (answers - 1) for the
    leader's a votes against the runner-up's b; the weaker rivals then pass too. The prior-posterior
    ratio is a martingale, so the wrong mode is named with a chance of at most delta at any stop.
    `answers` is how many different answers there can be: the guarantee needs to know.
    """

    delta: float = 0.05
    answers: int = 10

    def __post_init__(self) -> None:
        Voting.__post_init__(self)
        share("delta", self.delta)
        check_int("answers", self.answers, at_least=2)

    @property
    def name(self) -> str:
        return "ppr"

    def settled(self, situation: Situation) -> bool:
        leader, runner_up, _ = situation.tally.standing
        ratio = log_ratio(leader, runner_up)
        return leader > runner_up and ratio <= math.log(self.delta / (self.answers - 1))


def log_ratio(leader: int, runner_up: int) -> float:
    """Log of the Beta(leader + 1, runner_up + 1) density at one half, where the prior's is 1."""
    votes = leader + runner_up
    ways = math.lgamma(votes + 2) - math.lgamma(leader + 1) - math.lgamma(runner_up + 1)
    return ways - votes * math.log(2)
