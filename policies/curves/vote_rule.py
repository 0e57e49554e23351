"""When one more vote pays, and how many to draw at once: backward induction over vote counts.

For every standing the rule compares the chance that its leader is right with what the next votes
would make of it, less the price of their tokens. Hopeless questions are given up by the same
comparison: where the votes scatter, more of them hardly move that chance. A round of sampling may
have a price too, for the time it takes; then several votes are drawn together, although the last
of them may turn out not to have been needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from policies.curves.arrays import Floats
from policies.curves.vote_counts import length_bin
from policies.curves.vote_curve import VoteCurve
from policies.curves.vote_types import INDEX, tables
from policies.plan import Forecast
from policies.tally import VoteStanding

MAX_ROUND = 8
_NEGLIGIBLE = 1e-9
"""Accuracy for which nothing is bought."""


@dataclass(frozen=True, slots=True, eq=False)
class VoteRule:
    """The best stopping rule at one price.

    `rounds` has the shape (standing S, column C): how many votes to draw next, 0 to stop. Columns
    are those of the curve, by the length of the first chain. `price` is accuracy per token.
    With free rounds these are votes that will be drawn whatever they say, so drawing them together
    costs no token more than drawing one by one.
    """

    price: float
    rounds: NDArray[np.int8]
    columns: Mapping[int, int]
    forecast: Forecast

    @property
    def first_round(self) -> int:
        """Votes to begin with: the first, and those that follow whatever its length."""
        return 1 + int(self.rounds[INDEX[VoteStanding(1, 0, 0)]].min())

    @property
    def is_one_vote(self) -> bool:
        """Whether the first vote is the last, whatever it shows."""
        return not self.rounds[INDEX[VoteStanding(1, 0, 0)]].any()

    def round_size(self, standing: VoteStanding, first_tokens: float = 0.0) -> int:
        """Votes to draw next, where the first chain thought so many tokens."""
        return self.round_at(standing, length_bin(first_tokens))

    def round_at(self, standing: VoteStanding, place: int) -> int:
        """Votes to draw next, where the signal of the columns is in this bin."""
        row = INDEX.get(standing)
        column = self.columns.get(place, 0)
        return 0 if row is None or row >= len(self.rounds) else int(self.rounds[row, column])


def one_vote(price: float, curve: VoteCurve) -> VoteRule:
    """The rule that draws no more."""
    rounds = np.zeros((len(curve.right), 1), dtype=np.int8)
    return VoteRule(price, rounds, {}, Forecast(curve.accuracy[0], curve.first_tokens))


def vote_rules(
    curve: VoteCurve, prices: Sequence[float], *, round_tokens: float | Floats = 0.0
) -> tuple[VoteRule, ...]:
    """One rule for each price; a round of sampling is priced like so many tokens, (P,) or one."""
    static = tables()
    price = np.array(prices)
    largest = MAX_ROUND if np.any(round_tokens) else 1
    known = len(curve.right)
    layers = [layer for layer in static.layers if layer.stop <= known]
    rounds = np.zeros((known, len(curve.shares), len(price)), dtype=np.int8)
    ahead = _stopped(curve, layers[-1], (largest, len(price)))
    for layer, later in reversed([*pairwise(layers)]):
        cost = curve.next_tokens[layer, :, None, None]
        drawn = _after_one_vote(curve, ahead, layer, later)
        drawn[0] -= price * cost
        drawn[2] += cost
        net_value = drawn[0] - price * round_tokens
        size = net_value.argmax(axis=2)
        best = np.take_along_axis(drawn, size[None, :, :, None], axis=3)[:, :, :, 0]
        best[0] -= price * round_tokens
        goes_on = best[0] > curve.right[layer, :, None] + _NEGLIGIBLE
        ahead = _stopped(curve, layer, (largest, len(price)))
        ahead[:, :, :, 0] = np.where(goes_on, best, ahead[:, :, :, 0])
        ahead[:, :, :, 1:] = drawn[:, :, :, :-1]
        # What will be drawn after any next vote may as well be drawn with it.
        needed = np.minimum(rounds[static.if_lead[layer]], rounds[static.if_second[layer]])
        needed = np.minimum(needed, rounds[static.if_other[layer]])
        rounds[layer] = np.where(goes_on, 1 + np.maximum(size, needed), 0)
    accuracy, tokens = np.tensordot(curve.shares, ahead[1:, 0, :, 0], axes=(0, 1))
    return tuple(
        VoteRule(
            float(price[column]),
            np.ascontiguousarray(rounds[:, :, column]),
            curve.columns,
            Forecast(float(accuracy[column]), curve.first_tokens + float(tokens[column])),
        )
        for column in range(len(price))
    )


def _stopped(curve: VoteCurve, layer: slice, sizes: tuple[int, int]) -> Floats:
    """Values of drawing n more votes and following the rule from there; here the rule stops.

    The shape is (3, standing of one layer L, column C, votes n, price P); the 3 are net value,
    accuracy and tokens.
    0 votes are the rule itself.
    """
    right = curve.right[layer]
    ahead = np.zeros((3, *right.shape, *sizes))
    ahead[:2] = right[:, :, None, None]
    return ahead


def _after_one_vote(curve: VoteCurve, values: Floats, layer: slice, later: slice) -> Floats:
    """The mean of `values`, those of the `later` layer, after one vote: the shape of `_stopped`."""
    static = tables()
    lead, second, other = (
        values[:, after[layer] - later.start]
        for after in (static.if_lead, static.if_second, static.if_other)
    )
    leads = curve.leads[layer, :, None, None]
    seconds = curve.seconds[layer, :, None, None]
    return np.asarray(leads * lead + seconds * second + (1 - leads - seconds) * other)
