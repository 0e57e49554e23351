"""What votes are worth: a mixture of question types, and when one more vote pays.

A type says how often a sampled chain gives the most likely answer and how often the second most
likely. Counts of (leader, runner-up, rest) are all that a vote needs to remember (arXiv
2602.05395); their histogram gives the mixture by expectation maximisation. Stopping early needs no
correction: the likelihood of the votes does not depend on the rule that ended them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np

from policies.counts import Interval, interval
from policies.tally import Standing
from policies.vote_types import INDEX, MAX_VOTES, MODE, STANDINGS, Floats, tables

_PRIOR_VOTES = 3.0
_LEAST_LABELS = 4.0
_SWEEPS = 12
MOST_TOKENS = 1e9
"""Of one query; more is a mistake."""


def length_bin(tokens: float) -> int:
    """Half octaves: a chain is in another bin than one that is twice as long, two bins away."""
    if not 0 <= tokens <= MOST_TOKENS:
        raise ValueError(f"first_tokens must be in [0, {MOST_TOKENS:g}], got {tokens!r}")
    return int(2 * math.log2(1 + tokens))


class Cell(NamedTuple):
    """Queries that ended at one standing; `right` and `wrong` are those whose leader was checked.

    `tokens` is what all their votes cost together.
    """

    unlabelled: float = 0.0
    right: float = 0.0
    wrong: float = 0.0
    tokens: float = 0.0

    @property
    def queries(self) -> float:
        return self.unlabelled + self.right + self.wrong


_NOTHING = Cell()
Key = tuple[int, Standing]
"""Bin of the first chain's length, and the last standing."""


@dataclass(slots=True)
class VoteCounts:
    """A histogram of queries by the length of the first chain and by the last standing.

    Only what was seen is kept. Adding two is having observed both, scaling down is forgetting.
    """

    cells: dict[Key, Cell] = field(default_factory=dict)

    def observe(
        self, standing: Standing, tokens: float, right: bool | None, *, first_tokens: float = 0.0
    ) -> None:
        """One query: its last standing, the tokens of all voters, whether the leader is right."""
        if standing not in INDEX:
            raise ValueError(f"standing must be a vote of 1 to {MAX_VOTES}, got {standing!r}")
        if not 0 <= tokens <= MOST_TOKENS:
            raise ValueError(f"tokens must be in [0, {MOST_TOKENS:g}], got {tokens!r}")
        key = (length_bin(first_tokens), standing)
        self._add(key, Cell(right is None, right is True, right is False, tokens))

    def learn(self, told: Self, weight: float) -> None:
        """Queries that were counted without a label turn out to be right or wrong."""
        for key, cell in told.cells.items():
            old = self.cells.get(key, _NOTHING)
            moved = min(weight, old.unlabelled)
            right, wrong = moved * cell.right, moved * cell.wrong
            left = old.unlabelled - right - wrong
            self.cells[key] = Cell(left, old.right + right, old.wrong + wrong, old.tokens)

    def merge(self, other: Self) -> None:
        for key, cell in other.cells.items():
            self._add(key, cell)

    def scale(self, factor: float) -> None:
        for key, cell in self.cells.items():
            self.cells[key] = Cell(*(count * factor for count in cell))

    def _add(self, key: Key, new: Cell) -> None:
        old = self.cells.get(key, _NOTHING)
        self.cells[key] = Cell(old[0] + new[0], old[1] + new[1], old[2] + new[2], old[3] + new[3])

    def of_length(self, length: int) -> "VoteCounts":
        """Only the queries whose first chain was so long."""
        return VoteCounts({key: cell for key, cell in self.cells.items() if key[0] == length})

    def lengths(self) -> dict[int, float]:
        """Queries by the length of their first chain."""
        queries: dict[int, float] = {}
        for (length, _), cell in self.cells.items():
            queries[length] = queries.get(length, 0.0) + cell.queries
        return queries

    def as_rows(self) -> list[list[float]]:
        """For JSON: length, leader, runner-up, rest, and the cell's four sums; in a fixed order."""
        keys = sorted(self.cells)
        return [[length, *standing, *self.cells[length, standing]] for length, standing in keys]

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[Any]]) -> Self:
        cells = {}
        for row in rows:
            if len(row) != 8 or Standing(*row[1:4]) not in INDEX:
                raise ValueError(f"votes must have a standing and 4 sums in each row, got {row!r}")
            cell = Cell(*map(float, row[4:]))
            if not all(0 <= count < math.inf for count in cell):
                raise ValueError(f"votes must be finite and not negative, got {row!r}")
            cells[int(row[0]), Standing(*row[1:4])] = cell
        return cls(cells)

    @property
    def queries(self) -> float:
        return sum(cell.queries for cell in self.cells.values())

    @property
    def labelled(self) -> float:
        return sum(cell.right + cell.wrong for cell in self.cells.values())


@dataclass(frozen=True, slots=True, eq=False)
class VoteCurve:
    """One class, by standing: what its leader is worth, and what the next vote brings.

    `right` is the chance that the leader is right, `is_mode` that it is the most likely answer;
    `leads` and `seconds` that the next vote goes to it or to one level with the runner-up. How long
    the first chain thinks tells how hard a question is: column 0 is for all questions, the others,
    as `columns` tells, are for those lengths that were seen often enough; `shares` by column.

    `accuracy[n - 1]`, `tokens[n - 1]` and the `labels` behind them belong to exactly n votes.
    """

    right: Floats
    is_mode: Floats
    leads: Floats
    seconds: Floats
    next_tokens: Floats
    columns: Mapping[int, int]
    shares: tuple[float, ...]
    first_tokens: float
    accuracy: tuple[float, ...]
    labels: tuple[float, ...]

    @property
    def tokens(self) -> tuple[float, ...]:
        return tuple(votes * self.first_tokens for votes in range(1, len(self.accuracy) + 1))

    def for_all(self) -> "VoteCurve":
        """The same without the columns for lengths, which only rules are made from."""

        def first(table: Floats) -> Floats:
            return np.ascontiguousarray(table[:, :1])

        return replace(
            self,
            right=first(self.right),
            is_mode=first(self.is_mode),
            leads=first(self.leads),
            seconds=first(self.seconds),
            next_tokens=first(self.next_tokens),
            columns={},
            shares=(1.0,),
        )

    def interval(self, votes: int) -> Interval:
        return interval(self.accuracy[votes - 1], self.labels[votes - 1] + _LEAST_LABELS)


@dataclass(frozen=True, slots=True)
class _Mixture:
    """Types of one class: their weights, P(right) by type and role, tokens of a vote by type."""

    weights: Floats
    right: Floats
    tokens: Floats


class _Weight(NamedTuple):
    """What a prior counts as: queries for the mixture, labels for each type and for their shift."""

    queries: float
    labels: float
    shift: float
    inherits_tokens: bool = False


_CLASS = _Weight(queries=1.5, labels=0.5, shift=4.0)
_LENGTH = _Weight(queries=3.0, labels=4.0, shift=8.0, inherits_tokens=True)
_LEAST_OF_LENGTH = 5.0
"""Queries with a first chain of some length before that length has an outlook of its own."""


def _prior() -> _Mixture:
    mode = tables().mode
    weights = np.where(mode > 0.9, 2.0, 1.0)
    truth = np.clip(0.25 + 0.72 * mode, 0.02, 0.985)
    right = np.stack([truth, 0.5 * (1 - truth), 0.25 * (1 - truth)], axis=1)
    return _Mixture(weights / weights.sum(), right, np.zeros_like(mode))


def _mixture(counts: VoteCounts, prior: _Mixture, weight: _Weight) -> _Mixture:
    """Expectation maximisation over the standings seen; the prior counts as a few queries."""
    if not counts.cells:
        return prior
    static = tables()
    rows = [INDEX[standing] for _, standing in counts.cells]
    unlabelled, right, wrong, tokens = np.array(list(counts.cells.values())).T
    likelihood = static.likelihood[rows]
    flat = likelihood.reshape(len(rows), -1)
    by_type = static.by_type[rows]

    def spread(joint: Floats, cases: Floats) -> Floats:
        """Cases by standing, dealt out over types and roles as the joint chance says."""
        if not cases.any():
            return np.zeros_like(joint)
        chance = np.maximum(flat @ joint.ravel(), 1e-300)
        return np.asarray(joint * (cases / chance @ flat).reshape(joint.shape))

    weights, truth = prior.weights, prior.right
    for _ in range(_SWEEPS):
        joint = np.repeat(weights[:, None], truth.shape[1], axis=1)
        if_right = spread(joint * truth, right)
        if_wrong = spread(joint * (1 - truth), wrong)
        members = (spread(joint, unlabelled) + if_right + if_wrong).sum(axis=1)
        weights = weight.queries * prior.weights + members
        weights /= weights.sum()
        truth = _calibrated(prior.right, if_right, if_wrong, weight)
    belongs = by_type * weights
    belongs /= belongs.sum(axis=1, keepdims=True)
    votes = belongs.T @ ((unlabelled + right + wrong) * static.votes[rows])
    usual = prior.tokens if weight.inherits_tokens else tokens.sum() / votes.sum()
    mean = (_PRIOR_VOTES * usual + belongs.T @ tokens) / (_PRIOR_VOTES + votes)
    return _Mixture(weights, truth, mean)


def _calibrated(prior: Floats, right: Floats, wrong: Floats, weight: _Weight) -> Floats:
    """P(right) by type and role: one shift for all modes, then each type's own labels."""
    labels = right + wrong
    excess = right[:, MODE].sum() - prior[:, MODE] @ labels[:, MODE]
    shift = excess / (labels[:, MODE].sum() + weight.shift)
    centre = prior.copy()
    centre[:, MODE] = np.clip(centre[:, MODE] + shift, 0.01, 0.995)
    return np.asarray((weight.labels * centre + right) / (weight.labels + labels))


def fit_votes(counts: VoteCounts, parent: VoteCounts | None = None) -> VoteCurve | None:
    """None as long as neither the class nor its parent has seen a vote."""
    prior = _prior()
    if parent is not None:
        prior = _mixture(parent, prior, _CLASS)
    mixture = _mixture(counts, prior, _CLASS)
    if not mixture.tokens.any():
        return None
    queries = max(1.0, counts.queries)
    lengths = {length: n for length, n in counts.lengths().items() if n >= _LEAST_OF_LENGTH}
    known = [_mixture(counts.of_length(length), mixture, _LENGTH) for length in lengths]
    static = tables()
    return VoteCurve(
        *_outlook([mixture, *known]),
        {length: column for column, length in enumerate(lengths, start=1)},
        (1 - sum(lengths.values()) / queries, *(n / queries for n in lengths.values())),
        float(mixture.weights @ mixture.tokens),
        tuple(np.einsum("t,ntr,tr->n", mixture.weights, static.leads, mixture.right).tolist()),
        tuple(_labels(counts, votes) for votes in range(1, MAX_VOTES + 1)),
    )


def _outlook(mixtures: Sequence[_Mixture]) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Sums over types and roles, by standing and mixture: all but the first divided by it."""
    static = tables()
    weights = np.stack([mixture.weights for mixture in mixtures], axis=1)
    truth = np.stack([mixture.right for mixture in mixtures], axis=2)
    tokens = np.stack([mixture.tokens for mixture in mixtures], axis=1)
    is_mode = np.zeros((*static.share.shape, 1))
    is_mode[:, MODE] = 1.0
    factors = (truth, is_mode, static.share[:, :, None])
    sums = [weights[:, None] * factor for factor in factors]
    flat = np.concatenate([each.reshape(-1, len(mixtures)) for each in sums], axis=1)
    right, mode, leads = np.split(static.likelihood.reshape(len(STANDINGS), -1) @ flat, 3, axis=1)
    by_type = static.by_type @ np.concatenate([weights, weights * tokens], axis=1)
    total, next_tokens = np.split(by_type, 2, axis=1)
    seconds = static.level @ weights
    return right / total, mode / total, leads / total, seconds / total, next_tokens / total


def _labels(counts: VoteCounts, votes: int) -> float:
    """Checked queries behind the curve at so many votes; one with fewer votes counts in part."""
    return sum(
        (cell.right + cell.wrong) * min(1, sum(standing) / votes)
        for (_, standing), cell in counts.cells.items()
    )
