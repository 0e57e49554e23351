"""As many votes as a question's difficulty is worth, judged once, after two pilot votes."""

from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np

from policies.base import Decision, Draw, Policy, Situation, Stop
from policies.curves.arrays import Floats
from policies.curves.vote_curve import VoteCurve
from policies.curves.vote_types import INDEX, MAX_VOTES, STANDINGS, tables
from policies.options import PolicyOptions
from policies.plan import Budget, check_int, check_number
from policies.price import DEFAULT_PRICE
from policies.tally import VoteStanding
from policies.voting import share

PILOTS = 2


@dataclass(frozen=True, slots=True)
class DifficultyKnapsack(Policy):
    """In the manner of Damani et al. (arXiv 2410.04707): predict, then allocate, then do not look.

    The paper predicts from hidden states what each further sample of a question will add, and gives
    the next sample to the question that gains most: a knapsack, which for one query at a time is a
    price per token. Here the prediction comes from whether two pilot votes agree, and from what is
    known of the class; the number of votes is then fixed, whatever they say.
    """

    price: float = DEFAULT_PRICE
    max_samples: int = 40
    max_thinking_tokens: int | None = None
    answer_tokens: int = 128
    temperature: float | None = None

    def __post_init__(self) -> None:
        share("price", self.price)
        check_int("max_samples", self.max_samples, at_least=PILOTS, at_most=1024)
        check_number("temperature", self.temperature, above=0, at_most=2, optional=True)
        Budget.within(self.max_thinking_tokens, answer_tokens=self.answer_tokens)

    @property
    def name(self) -> str:
        return "difficulty_knapsack"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(
            self.max_thinking_tokens,
            answer_tokens=self.answer_tokens,
            reads_curves=True,
        )

    @property
    def max_chains(self) -> int:
        return self.max_samples

    def decide(self, situation: Situation, rng: Random) -> Decision:
        drawn = len(situation.tally.votes)
        missing = PILOTS if drawn < PILOTS else self._votes(situation)
        missing = min(missing, self.max_samples) - drawn
        if missing <= 0:
            return Stop("plan done")
        budget = situation.budget(self.max_thinking_tokens, answer_tokens=self.answer_tokens)
        return Draw(missing, budget, self.temperature)

    def _votes(self, situation: Situation) -> int:
        """Where accuracy less the price of the tokens is highest, seen from the pilots."""
        curve, pilots = situation.curve, situation.tally.voting[:PILOTS]
        if curve is None or curve.votes is None or len(pilots) < PILOTS:
            return PILOTS
        agree = pilots[0].answer == pilots[1].answer
        accuracy, step = _prospect(
            curve.votes, VoteStanding(2, 0, 0) if agree else VoteStanding(1, 1, 0)
        )
        price = situation.price or self.price
        return PILOTS + int(np.argmax(accuracy - price * step * np.arange(len(accuracy))))


@lru_cache(maxsize=64)
def _prospect(curve: VoteCurve, pilots: VoteStanding) -> tuple[Floats, float]:
    """Accuracy after 0, 1, 2, ... more votes than the pilots, and tokens of a vote."""
    static = tables()
    reach = np.zeros(len(STANDINGS))
    reach[INDEX[pilots]] = 1.0
    accuracy = []
    for layer in static.layers[PILOTS - 1 :]:
        accuracy.append(float(reach[layer] @ curve.right[layer, 0]))
        if layer.stop < len(STANDINGS):
            leads, seconds = curve.leads[layer, 0], curve.seconds[layer, 0]
            np.add.at(reach, static.if_lead[layer], reach[layer] * leads)
            np.add.at(reach, static.if_second[layer], reach[layer] * seconds)
            np.add.at(reach, static.if_other[layer], reach[layer] * (1 - leads - seconds))
    assert len(accuracy) == MAX_VOTES - PILOTS + 1
    return np.array(accuracy), float(curve.next_tokens[INDEX[pilots], 0])
