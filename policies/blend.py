"""Votes until a blend of two confidences is high: a bold one early, a sound one late."""

import math
from dataclasses import dataclass

from policies.adaptive_consistency import chance_of_lead
from policies.base import Situation
from policies.ppr import log_ratio
from policies.voting import Voting, share


@dataclass(frozen=True, slots=True)
class Blend(Voting):
    """In the manner of Blend-ASC (Feng et al., arXiv 2511.12309), for one query at a time.

    The paper hands a fixed number of samples out over a known set of questions, to the one least
    sure by a blend of adaptive consistency's posterior and PPR-1v1's martingale, the second gaining
    weight with the samples spent. Queries that come one by one leave nothing to rank; so here the
    blend, a geometric mean of both chances of error, is held against a threshold.
    """

    error: float = 0.05

    def __post_init__(self) -> None:
        Voting.__post_init__(self)
        share("error", self.error)

    @property
    def name(self) -> str:
        return "blend"

    def settled(self, situation: Situation) -> bool:
        leader, runner_up, _ = situation.tally.standing
        if leader == runner_up:
            return False
        spent = min(1.0, len(situation.tally.votes) / self.max_samples)
        bold = math.log(1 - chance_of_lead(leader, runner_up))
        sound = min(0.0, log_ratio(leader, runner_up))
        return (1 - spent) * bold + spent * sound <= math.log(self.error)
