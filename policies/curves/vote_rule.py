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

from policies.curves.vote_counts import length_bin
from policies.curves.vote_curve import VoteCurve
from policies.curves.vote_types import INDEX, STANDINGS, Floats, tables
from policies.plan import Forecast
from policies.tally import VoteStanding

LARGEST_WAVE = 8
_NEGLIGIBLE = 1e-9
"""Accuracy for which nothing is bought."""


@dataclass(frozen=True, slots=True, eq=False)
class VoteRule:
    """The best stopping rule at one price: by standing how many votes to draw next, 0 to stop.

    Columns are those of the curve, by the length of the first chain.
    With free rounds these are votes that will be drawn whatever they say, so drawing them together
    costs no token more than drawing one by one.
    """

    price: float
    waves: NDArray[np.int8]
    columns: Mapping[int, int]
    forecast: Forecast

    @property
    def first_wave(self) -> int:
        """Votes to begin with: the first, and those that follow whatever its length."""
        return 1 + int(self.waves[INDEX[VoteStanding(1, 0, 0)]].min())

    def wave(self, standing: VoteStanding, first_tokens: float = 0.0) -> int:
        """Votes to draw next, where the first chain thought so many tokens."""
        row = INDEX.get(standing)
        column = self.columns.get(length_bin(first_tokens), 0)
        return 0 if row is None else int(self.waves[row, column])

    @property
    def goes_on(self) -> list[VoteStanding]:
        return [here for here, wave in zip(STANDINGS, self.waves[:, 0], strict=True) if wave]


def vote_rules(
    curve: VoteCurve, prices: Sequence[float], *, round_tokens: float = 0.0
) -> tuple[VoteRule, ...]:
    """One rule for each price; a round of sampling is priced like so many tokens."""
    static = tables()
    price = np.array(prices)
    largest = LARGEST_WAVE if round_tokens else 1
    waves = np.zeros((len(STANDINGS), len(curve.shares), len(price)), dtype=np.int8)
    ahead = _stopped(curve, static.layers[-1], (largest, len(price)))
    for layer, later in reversed([*pairwise(static.layers)]):
        cost = curve.next_tokens[layer, :, None, None]
        drawn = _after_one_vote(curve, ahead, layer, later)
        drawn[0] -= price * cost
        drawn[2] += cost
        worth = drawn[0] - price * round_tokens
        size = worth.argmax(axis=2)
        best = np.take_along_axis(drawn, size[None, :, :, None], axis=3)[:, :, :, 0]
        best[0] -= price * round_tokens
        goes_on = best[0] > curve.right[layer, :, None] + _NEGLIGIBLE
        ahead = _stopped(curve, layer, (largest, len(price)))
        ahead[:, :, :, 0] = np.where(goes_on, best, ahead[:, :, :, 0])
        ahead[:, :, :, 1:] = drawn[:, :, :, :-1]
        # What will be drawn after any next vote may as well be drawn with it.
        surely = np.minimum(waves[static.if_lead[layer]], waves[static.if_second[layer]])
        surely = np.minimum(surely, waves[static.if_other[layer]])
        waves[layer] = np.where(goes_on, 1 + np.maximum(size, surely), 0)
    accuracy, tokens = np.tensordot(curve.shares, ahead[1:, 0, :, 0], axes=(0, 1))
    return tuple(
        VoteRule(
            float(price[column]),
            np.ascontiguousarray(waves[:, :, column]),
            curve.columns,
            Forecast(float(accuracy[column]), curve.first_tokens + float(tokens[column])),
        )
        for column in range(len(price))
    )


def _stopped(curve: VoteCurve, layer: slice, sizes: tuple[int, int]) -> Floats:
    """Worth, accuracy and tokens when so many more votes are drawn and the rule goes on from there.

    Axes: those three, standing of one layer, column, votes, price. 0 votes are the rule itself;
    it stops everywhere until told otherwise.
    """
    right = curve.right[layer]
    ahead = np.zeros((3, *right.shape, *sizes))
    ahead[:2] = right[:, :, None, None]
    return ahead


def _after_one_vote(curve: VoteCurve, values: Floats, layer: slice, later: slice) -> Floats:
    """The mean of `values`, which are those of the `later` layer, after one vote from a layer."""
    static = tables()
    lead, second, other = (
        values[:, after[layer] - later.start]
        for after in (static.if_lead, static.if_second, static.if_other)
    )
    leads = curve.leads[layer, :, None, None]
    seconds = curve.seconds[layer, :, None, None]
    return np.asarray(leads * lead + seconds * second + (1 - leads - seconds) * other)
