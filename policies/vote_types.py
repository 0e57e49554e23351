"""Types of questions by how their sampled answers scatter, and what each type's votes look like.

A type gives the chance of the most likely answer (the mode) and of the second most likely; the
rest is spread evenly over a few others. Votes are remembered as (leader, runner-up, rest) only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import factorial

import numpy as np
from numpy.typing import NDArray

from policies.tally import Standing

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_VOTES = 16
STANDINGS = tuple(
    Standing(leader, runner_up, votes - leader - runner_up)
    for votes in range(1, MAX_VOTES + 1)
    for leader in range(1, votes + 1)
    for runner_up in range(min(leader, votes - leader) + 1)
    if runner_up or votes == leader
)
INDEX: Mapping[Standing, int] = {standing: row for row, standing in enumerate(STANDINGS)}

MODE, SECOND, OTHER = range(3)
LEADER = np.array([MODE, SECOND, MODE, OTHER, SECOND, OTHER, OTHER])
"""Who leads, in each case of who can lead and who can be the runner-up."""
_RUNNER_UP = np.array([SECOND, MODE, OTHER, MODE, OTHER, SECOND, OTHER])
_ONE_FOR_EACH_LEADER = np.array([0, 1, 3])
_OTHERS = MAX_VOTES - 2
_ANSWERS = (1, 1, _OTHERS)
"""How many answers have each role."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Axes: standing, type, and case of who leads before whom.

    `second_share` is the chance that the next vote goes to an answer with as many votes as the
    runner-up; `leads[votes - 1]` is the chance, by type and role, to lead that many votes.
    """

    votes: Integers
    mode: Floats
    likelihood: Floats
    lead_share: Floats
    second_share: Floats
    leads: Floats
    if_lead: Integers
    if_second: Integers
    if_other: Integers
    layers: tuple[Integers, ...]


@cache
def tables() -> Tables:
    modes = np.array([0.08, 0.15, 0.22, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.98, 0.997])
    rivals = np.array([0.12, 0.5, 0.9])
    mode = np.repeat(modes, len(rivals))
    second = np.tile(rivals, len(modes)) * np.minimum(mode, 1 - mode)
    other = np.maximum(1 - mode - second, 1e-4) / _OTHERS
    share = np.stack([mode, second, other], axis=1)
    series = _Series(share)
    likelihood, second_share = _standings(share, series)
    votes = np.array([sum(standing) for standing in STANDINGS])
    after = np.array([after_vote(standing) for standing in STANDINGS]).T
    layers = tuple(np.flatnonzero(votes == count) for count in range(1, MAX_VOTES + 1))
    return Tables(
        votes,
        mode,
        likelihood,
        share[:, LEADER],
        second_share,
        np.stack([_leads(share, series, count) for count in range(1, MAX_VOTES + 1)]),
        after[0],
        after[1],
        after[2],
        layers,
    )


def after_vote(standing: Standing) -> tuple[int, int, int]:
    """Where a vote leads: for the leader, for one level with the runner-up, for another."""
    first, second, rest = standing
    if sum(standing) == MAX_VOTES:
        return (0, 0, 0)
    lead = INDEX[Standing(first + 1, second, rest)]
    if second == 0:
        rival = INDEX[Standing(first, 1, 0)]
        return (lead, rival, rival)
    high, low = max(first, second + 1), min(first, second + 1)
    return (lead, INDEX[Standing(high, low, rest)], INDEX[Standing(first, second, rest + 1)])


class _Series:
    """Exponential generating functions of the votes of several answers, capped for each answer.

    The coefficient of x^n, times n!, is the chance that n votes all fall on these answers and give
    none of them more than `most`. Answers are counted by role: modes, seconds, others.
    """

    def __init__(self, share: Floats) -> None:
        self._share = share
        self._known: dict[tuple[tuple[int, ...], int], Floats] = {}

    def of(self, answers: tuple[int, ...], most: int) -> Floats:
        if (answers, most) not in self._known:
            self._known[answers, most] = self._product(answers, most)
        return self._known[answers, most]

    def _product(self, answers: tuple[int, ...], most: int) -> Floats:
        product = np.zeros((len(self._share), MAX_VOTES + 1))
        if not any(answers):
            product[:, 0] = 1.0
            return product
        role = next(role for role, count in enumerate(answers) if count)
        others = self.of(_without(answers, role), most)
        for votes in range(most + 1):
            term = self._share[:, role, None] ** votes / factorial(votes)
            product[:, votes:] += term * others[:, : MAX_VOTES + 1 - votes]
        return product


def _without(answers: tuple[int, ...], role: int) -> tuple[int, ...]:
    return tuple(count - (place == role) for place, count in enumerate(answers))


def _standings(share: Floats, series: _Series) -> tuple[Floats, Floats]:
    """Likelihood, up to a factor for each standing, and the share of all level with the second."""
    shape = (len(STANDINGS), len(share), len(LEADER))
    likelihood, second_share = np.zeros(shape), np.zeros(shape)
    for case, (first, second) in enumerate(zip(LEADER, _RUNNER_UP, strict=True)):
        rivals = _without(_ANSWERS, first)
        rest = _without(rivals, second)
        for row, (leader, runner_up, others) in enumerate(STANDINGS):
            leading = _ANSWERS[first] * share[:, first] ** leader
            if runner_up == 0:
                likelihood[row, :, case] = leading * (case in _ONE_FOR_EACH_LEADER)
                second_share[row, :, case] = 1 - share[:, first]
                continue
            spread = series.of(rest, runner_up)[:, others]
            following = rivals[second] * share[:, second] ** runner_up
            likelihood[row, :, case] = leading * following * spread
            level = np.zeros(len(share))
            for role, count in enumerate(rest):
                if count and others >= runner_up:
                    alone = share[:, role] ** runner_up / factorial(runner_up)
                    without = series.of(_without(rest, role), runner_up)[:, others - runner_up]
                    level += count * share[:, role] * alone * without
            ties = np.divide(level, spread, out=np.zeros_like(level), where=spread > 0)
            second_share[row, :, case] = share[:, second] + ties
    return likelihood / likelihood.max(axis=(1, 2), keepdims=True), second_share


def _leads(share: Floats, series: _Series, votes: int) -> Floats:
    """Chance of each role to lead; a tie of two is halved, rarer ones are nearly shared fairly."""
    chances = np.zeros_like(share)
    for role, count in enumerate(_ANSWERS):
        rivals = _without(_ANSWERS, role)
        for won in range(1, votes + 1):
            ahead = count * share[:, role] ** won / factorial(won)
            for most in (won - 1, won):
                chances[:, role] += ahead * series.of(rivals, most)[:, votes - won]
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))
