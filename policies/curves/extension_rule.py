"""When one more extension pays: the rule of a price, by backward induction over the states.

Where the tail confidence of the thinking tells of answers, it says so for every single chain.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from policies.curves.arrays import Floats
from policies.curves.extension_counts import INDEX, STATES, AnswerState, last_state
from policies.curves.extension_curve import ExtensionCurve
from policies.curves.tail_confidence import tail_of
from policies.plan import Forecast
from policies.tally import Vote

_OPTIMISM = 0.5
"""Optimism bonus in standard errors, added to what an extension brings: chains that are stopped do
not show what it would have done, those that go on do."""


@dataclass(frozen=True, slots=True)
class ExtensionRule:
    """Where one more extension pays at one price, and what that gives on average."""

    price: float
    #: By state in which it may pay: the chance that the answer is right below which it does.
    below: Mapping[AnswerState, float]
    forecast: Forecast

    def goes_on(self, state: AnswerState, chance: float) -> bool:
        """`chance` is that the answer is right."""
        return chance < self.below.get(state, 0.0)


class NextExtension(NamedTuple):
    """What one more extension would bring."""

    #: Those that the chain has had.
    extensions: int
    #: That its answer is right now.
    chance: float
    #: Accuracy gained, and tokens taken.
    forecast: Forecast
    #: Whether the tail confidence of the thinking tells of the answer.
    by_confidence: bool


class _Change(NamedTuple):
    """Chances: that a right answer changes, that a wrong one does, that it is right then.

    Together they are those of the state, whatever the chance that its answer is right.
    """

    right: float
    wrong: float
    repaired: float

    @classmethod
    def at(cls, curve: ExtensionCurve, row: int) -> "_Change":
        flip, right = 1 - curve.stays[row], curve.right[row]
        spoilt, still = flip * curve.spoils[row], flip * (1 - curve.spoils[row])
        return cls(
            spoilt / max(1e-9, right),
            still / max(1e-9, 1 - right),
            flip * curve.repairs[row] / max(1e-9, still),
        )

    def gain(self, chance: Floats) -> Floats:
        """Accuracy that the extension brings answers that are right with this chance."""
        return (1 - chance) * self.wrong * self.repaired - chance * self.right


def extension_rules(curve: ExtensionCurve, prices: Sequence[float]) -> list[ExtensionRule]:
    """Go on where the answers that follow are worth more than their tokens.

    Values are relative to stopping at once, of the shape (price P, state S).
    """
    price = np.array(prices)
    optimistic, gained, tokens = np.zeros((3, len(price), len(STATES)))
    below: list[dict[AnswerState, float]] = [{} for _ in prices]
    for row, state in reversed(tuple(enumerate(STATES))):
        if state.extensions >= curve.max_extensions:
            continue
        after = [INDEX[state.after(same=same)] for same in (True, False)]
        change, step = _Change.at(curve, row), curve.next_tokens[row]
        chances, weights = _outlook(curve, row)
        # Of the shape (chance that the answer is right C, after 2): it is kept, or it changes.
        flips = np.clip(chances * change.right + (1 - chances) * change.wrong, 0.0, 1.0)
        moves = np.stack([1 - flips, flips], axis=1)
        gain = change.gain(chances)
        hoped = gain + _OPTIMISM * curve.standard_errors[row] - (price * step)[:, None]
        hoped = hoped + optimistic[:, after] @ moves.T
        pays = (hoped > 1e-12) * weights
        optimistic[:, row] = (pays * hoped).sum(axis=1)
        gained[:, row] = (pays * (gain + gained[:, after] @ moves.T)).sum(axis=1)
        tokens[:, row] = (pays * (step + tokens[:, after] @ moves.T)).sum(axis=1)
        for place in np.flatnonzero(pays.any(axis=1)):
            if_wrong, if_right = hoped[place, -2:].tolist()
            less = if_wrong - if_right
            below[place][state] = if_wrong / less if less > 0 else math.inf
    accuracy = np.clip(curve.right[0] + gained[:, 0], 0.0, 1.0)
    return [
        ExtensionRule(at, pays_below, Forecast(share, curve.tokens[0] + more))
        for at, pays_below, share, more in zip(
            prices, below, accuracy.tolist(), tokens[:, 0].tolist(), strict=True
        )
    ]


def next_extension(curve: ExtensionCurve, ends: Sequence[Vote]) -> NextExtension:
    """For a chain with these ends, in order."""
    state, tail = last_state(ends), tail_of(ends[-1])
    row, chance = INDEX[state], curve.chance(state, tail)
    gain = float(_Change.at(curve, row).gain(np.array(chance)))
    by_confidence = curve.tail is not None and tail is not None
    forecast = Forecast(gain, curve.next_tokens[row])
    return NextExtension(state.extensions, chance, forecast, by_confidence)


def _outlook(curve: ExtensionCurve, row: int) -> tuple[Floats, Floats]:
    """Chances that a state's answer is right, with weights; the last two are 0 and 1."""
    chances, weights = np.array([curve.right[row]]), np.ones(1)
    if curve.tail is not None:
        chances, weights = curve.tail.outlook(curve.right[row], STATES[row].extensions)
    return np.append(chances, (0.0, 1.0)), np.append(weights, (0.0, 0.0))
