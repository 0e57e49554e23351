"""Votes until the leader is certainly the most likely answer, or it is said that this is not so."""

import math
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from scipy.special import betainc, betaln

from policies.base import Decision, Draw, Situation, Stop
from policies.tally import Tally
from policies.voting import Voting, share


@dataclass(frozen=True, slots=True)
class Certified(Voting):
    """An anytime-valid certificate that the leader is the mode of the model's answers.

    Against each rival an answer collects evidence: a mixture e-process over how often the two meet
    and it wins, as in PPR-1v1 (Jain et al., arXiv 2109.05047), but counted only from the vote after
    its own first one. By Ville's inequality the j-th answer to come up is certified wrongly with
    chance delta / (j (j + 1)) at most, whenever one looks; those sum to delta. So neither the
    number of possible answers need be known, nor when the votes will end. The stop is "certified",
    or "not certified" after `max_samples`. The mode need not be right: this certifies what the
    model thinks, under one budget and temperature for all votes.
    """

    delta: float = 0.05

    def __post_init__(self) -> None:
        Voting.__post_init__(self)
        share("delta", self.delta)

    @property
    def name(self) -> str:
        return "certified"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        tally = situation.tally
        if tally.leader is not None and tally.leader == self.certified(situation):
            return Stop("certified")
        left = self.max_samples - len(tally.votes)
        if left <= 0:
            return Stop("not certified")
        budget = situation.budget(self.max_thinking_tokens, answer_tokens=self.answer_tokens)
        return Draw(min(self.samples_per_round, left), budget, self.temperature)

    def certified(self, situation: Situation) -> str | None:
        """The answer that is certified by the votes so far, in the order in which they were asked
        for: short chains end first, and would not be a fair sample.
        """
        since: dict[str, dict[str, int]] = {}
        places: dict[str, int] = {}
        for answer in _in_order(situation.tally, complete=situation.pending == 0):
            for votes in since.values():
                votes[answer] = votes.get(answer, 0) + 1
            if answer not in since:
                since[answer] = {}
                places[answer] = len(since)
                continue
            # A vote is evidence for its own answer only.
            first, second, *_ = [*sorted(since[answer].values(), reverse=True), 0]
            if since[answer][answer] != first or first == second:
                continue
            place = places[answer]
            if log_evidence(first, second) >= math.log(place * (place + 1) / self.delta):
                return answer
        return None


def _in_order(tally: Tally, *, complete: bool) -> list[str]:
    """Answers by chain; while chains are out, only those before the first that is missing."""
    votes = sorted(tally.votes, key=lambda vote: vote.chain)
    if not complete:
        votes = [vote for place, vote in enumerate(votes) if vote.chain == place]
    return [vote.answer for vote in votes if vote.answer is not None]


@lru_cache(maxsize=1 << 16)
def log_evidence(won: int, lost: int) -> float:
    """Log of an e-value against "wins at most half": chances above one half, mixed evenly.

    The integral of 2 p^won (1-p)^lost over p from 1/2 to 1, over (1/2)^(won + lost).
    """
    tail = float(betainc(lost + 1, won + 1, 0.5))
    return (won + lost + 1) * math.log(2) + float(betaln(won + 1, lost + 1)) + math.log(tail)
