"""Votes until the leader is surely the most likely answer, by a prior that was learned."""

from dataclasses import dataclass, replace

from policies.adaptive_consistency import chance_of_lead
from policies.base import Situation
from policies.curves.vote_types import INDEX
from policies.options import PolicyOptions
from policies.voting import Voting, share


@dataclass(frozen=True, slots=True)
class BayesianStopping(Voting):
    """Optimal stopping without a price (Huang, Ma and Zhou, arXiv 2602.05395).

    The posterior that the leader is the mode, given only the counts of the leader, the runner-up
    and the rest, under a mixture of answer distributions learned from earlier queries. What the
    mode is worth, and what a token costs, plays no part. Until a class is known, the uninformed
    chance that the leader beats the runner-up stands in.
    """

    error: float = 0.05

    def __post_init__(self) -> None:
        Voting.__post_init__(self)
        share("error", self.error)

    @property
    def name(self) -> str:
        return "bayesian_stopping"

    @property
    def options(self) -> PolicyOptions:
        return replace(super(BayesianStopping, self).options, reads_curves=True)

    def settled(self, situation: Situation) -> bool:
        curve, standing = situation.curve, situation.tally.standing
        if curve is None or curve.votes is None or standing not in INDEX:
            return chance_of_lead(*standing[:2]) >= 1 - self.error
        return float(curve.votes.is_mode[INDEX[standing], 0]) >= 1 - self.error
