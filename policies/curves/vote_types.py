"""Types of questions by how their sampled answers scatter, and what each type's votes look like.

A type gives the chance of the most likely answer (the mode) and of the second most likely, and
whether the rest is spread over a few other answers, as in multiple choice, or over many. Votes are
remembered as (leader, runner-up, rest) only.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import factorial

import numpy as np

from policies.curves.arrays import Floats, Integers
from policies.tally import VoteStanding

MAX_VOTES = 40
"""More than this are never bought; tables grow with its third power."""
STANDINGS = tuple(
    VoteStanding(leader, runner_up, votes - leader - runner_up)
    for votes in range(1, MAX_VOTES + 1)
    for leader in range(1, votes + 1)
    for runner_up in range(min(leader, votes - leader) + 1)
    if runner_up or votes == leader
)
INDEX: Mapping[VoteStanding, int] = {standing: row for row, standing in enumerate(STANDINGS)}

MODES = (0.08, 0.15, 0.22, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.98, 0.997)
RIVALS = (0.12, 0.5, 0.9)
"""The second most likely answer's chance, as a share of the most that it can be."""
OTHERS = (2, 8, MAX_VOTES - 2)
"""Over how many answers the rest is spread: as with four choices, with ten, with no repetition."""

ROLES = MODE, SECOND, OTHER = range(3)
_CASES = (
    (MODE, SECOND),
    (SECOND, MODE),
    (MODE, OTHER),
    (OTHER, MODE),
    (SECOND, OTHER),
    (OTHER, SECOND),
    (OTHER, OTHER),
)
"""Who leads before whom; the first case of each leader stands for "nobody is second"."""
_LONE_CASES = (0, 1, 3)
_GAUSS = tuple((0.5 + side * math.sqrt(0.15), (8 - 3 * abs(side)) / 18) for side in (-1, 0, 1))


@dataclass(frozen=True, slots=True)
class Tables:
    """Likelihoods that do not depend on the class.

    S are the standings in the order of `STANDINGS`, T the types of questions, R the three roles of
    an answer in the order of `ROLES`, N is `MAX_VOTES`. Each row of likelihoods is scaled so that
    its largest is 1.
    """

    #: (S,): votes of the standing.
    votes: Integers
    #: (T,): chance of the most likely answer.
    mode: Floats
    #: (T, R): chance of one answer of the role.
    share: Floats
    #: (S, T, R): of the standing, with a leader of the role.
    likelihood: Floats
    #: (S, T): of the standing.
    by_type: Floats
    #: (S, T): times the chance that the next vote goes to an answer with as many votes as the
    #: runner-up.
    level: Floats
    #: (N, T, R): chance of the role to lead n votes, at n - 1.
    leads: Floats
    #: (T,): over how many answers the rest is spread.
    others: Floats
    #: (S,): row of the standing after a vote for the leader.
    if_lead: Integers
    #: (S,): after a vote for one level with the runner-up.
    if_second: Integers
    #: (S,): after a vote for another.
    if_other: Integers
    #: The rows of S with 1, 2, ... N votes.
    layers: tuple[slice, ...]


@cache
def tables() -> Tables:
    by_spread = [_tables_of(others) for others in OTHERS]
    share, likelihood, level, leads = (
        np.concatenate(parts, axis=axis)
        for parts, axis in zip(zip(*by_spread, strict=True), (0, 1, 1, 1), strict=True)
    )
    top = likelihood.max(axis=(1, 2))
    likelihood /= top[:, None, None]
    votes = np.array([sum(standing) for standing in STANDINGS])
    after = np.array([after_vote(standing) for standing in STANDINGS]).T
    starts = np.searchsorted(votes, np.arange(1, MAX_VOTES + 2))
    return Tables(
        votes,
        share[:, MODE],
        share,
        likelihood,
        likelihood.sum(axis=2),
        level / top[:, None],
        leads,
        np.repeat(np.array(OTHERS, dtype=np.float64), [len(parts[0]) for parts in by_spread]),
        after[0],
        after[1],
        after[2],
        tuple(slice(start, end) for start, end in zip(starts[:-1], starts[1:], strict=True)),
    )


def after_vote(standing: VoteStanding) -> tuple[int, int, int]:
    """Where a vote leads: for the leader, for one level with the runner-up, for another."""
    first, second, rest = standing
    if sum(standing) == MAX_VOTES:
        return (0, 0, 0)
    lead = INDEX[VoteStanding(first + 1, second, rest)]
    if second == 0:
        rival = INDEX[VoteStanding(first, 1, 0)]
        return (lead, rival, rival)
    high, low = max(first, second + 1), min(first, second + 1)
    return (
        lead,
        INDEX[VoteStanding(high, low, rest)],
        INDEX[VoteStanding(first, second, rest + 1)],
    )


def _tables_of(others: int) -> tuple[Floats, Floats, Floats, Floats]:
    """The types whose rest is spread over `others` answers.

    Share (T, R), likelihood (S, T, R), level (S, T) and leads (N, T, R).
    """
    mode, rival = np.array(list(product(MODES, RIVALS))).T
    second = rival * np.minimum(mode, 1 - mode)
    # No answer of the rest is likelier than the second, and none is likelier than the mode.
    second = np.maximum(second, (1 - mode) / (others + 1))
    mode, second = mode[mode >= second], second[mode >= second]
    other = np.maximum(1 - mode - second, 1e-4) / others
    share = np.stack([mode, second, other], axis=1)
    series = _Series(share)
    answers = (1, 1, others)
    likelihood, level = _standings(share, answers, series)
    counts = range(1, MAX_VOTES + 1)
    return share, likelihood, level, np.stack([_leads(share, answers, series, n) for n in counts])


class _Series:
    """Exponential generating functions of the votes of several answers, capped for each answer.

    The coefficient of x^n, times n!, is the chance that n votes all fall on these answers and give
    none of them more than `most`. Answers are counted by role: modes, seconds, others.
    """

    def __init__(self, share: Floats) -> None:
        self._share = share
        self._known: dict[tuple[tuple[int, ...], int, float], Floats] = {}

    def of(self, answers: tuple[int, ...], most: int, full: float = 1.0) -> Floats:
        """(type T, votes N + 1). An answer that has `most` votes counts as `full` only."""
        if (answers, most, full) not in self._known:
            self._known[answers, most, full] = self._product(answers, most, full)
        return self._known[answers, most, full]

    def _product(self, answers: tuple[int, ...], most: int, full: float) -> Floats:
        """By halves, so that series of many equal answers are powers of few."""
        product = np.zeros((len(self._share), MAX_VOTES + 1))
        role = next((role for role, count in enumerate(answers) if count), None)
        if role is None:
            product[:, 0] = 1.0
        elif sum(answers) == 1:
            for votes in range(most + 1):
                product[:, votes] = self._share[:, role] ** votes / factorial(votes)
            product[:, most] *= full
        else:
            half = tuple(
                (count + 1) // 2 if place == role else 0 for place, count in enumerate(answers)
            )
            rest = tuple(count - taken for count, taken in zip(answers, half, strict=True))
            one, other = self.of(half, most, full), self.of(rest, most, full)
            for votes in range(MAX_VOTES + 1):
                product[:, votes:] += one[:, votes, None] * other[:, : MAX_VOTES + 1 - votes]
        return product


def _without(answers: tuple[int, ...], role: int) -> tuple[int, ...]:
    return tuple(count - (place == role) for place, count in enumerate(answers))


def _standings(share: Floats, answers: tuple[int, ...], series: _Series) -> tuple[Floats, Floats]:
    """Likelihood (S, T, R) up to a factor for each standing, and level (S, T)."""
    likelihood = np.zeros((len(STANDINGS), len(share), len(ROLES)))
    level = np.zeros((len(STANDINGS), len(share)))
    by_runner_up: dict[int, list[int]] = {}
    for row, standing in enumerate(STANDINGS):
        by_runner_up.setdefault(standing.runner_up, []).append(row)
    for case, (first, second) in enumerate(_CASES):
        rivals = _without(answers, first)
        rest = _without(rivals, second)
        for runner_up, rows in by_runner_up.items():
            leader, _, others = np.array([STANDINGS[row] for row in rows]).T
            chance = answers[first] * share[:, first] ** leader[:, None]
            if runner_up == 0:
                if case in _LONE_CASES:
                    likelihood[rows, :, first] += chance
                    level[rows] += chance * (1 - share[:, first])
                continue
            chance = chance * rivals[second] * share[:, second] ** runner_up
            spread = series.of(rest, runner_up)[:, others].T
            likelihood[rows, :, first] += chance * spread
            level[rows] += chance * spread * share[:, second]
            for role, count in enumerate(rest):
                if count:
                    alone = share[:, role] ** (runner_up + 1) / factorial(runner_up)
                    without = series.of(_without(rest, role), runner_up).T
                    left = others - runner_up
                    also = without[np.maximum(left, 0)] * (left >= 0)[:, None]
                    level[rows] += chance * count * alone * also
    return likelihood, level


def _leads(share: Floats, answers: tuple[int, ...], series: _Series, votes: int) -> Floats:
    """(T, R): chance of each role to lead.

    Answers that tie share the lead, by the mean of u^ties over (0, 1).
    """
    chances = np.zeros_like(share)
    for role, count in enumerate(answers):
        rivals = _without(answers, role)
        for won in range(1, votes + 1):
            ahead = count * share[:, role] ** won / factorial(won)
            for full, weight in _GAUSS:
                chances[:, role] += weight * ahead * series.of(rivals, won, full)[:, votes - won]
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))
