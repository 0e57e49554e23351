"""The curve of votes: the accuracy of exactly n votes, and what the next one brings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from policies.curves.arrays import Floats
from policies.curves.counts import Interval, learned
from policies.curves.vote_counts import VoteCounts
from policies.curves.vote_mixture import FOR_CLASS, FOR_LENGTH, Mixture, fit_mixture, prior_mixture
from policies.curves.vote_types import MAX_VOTES, MODE, tables

_LEAST_OF_LENGTH = 5.0
"""Queries with a first chain of some length before that length has a column of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class VoteCurve:
    """One class of votes. S are the standings in the order of `STANDINGS`.

    Arrays have the shape (standing S, column C). How long the first chain thinks tells how hard a
    question is: column 0 is for all questions, the others are for the lengths of the first chain
    that were observed often enough.
    """

    #: (S, C): chance that the leader is right.
    right: Floats
    #: (S, C): chance that the leader is the model's most likely answer.
    is_mode: Floats
    #: (S, C): chance that the next vote goes to the leader.
    leads: Floats
    #: (S, C): chance that it goes to an answer with as many votes as the runner-up.
    seconds: Floats
    #: (S, C): mean tokens of the next vote.
    next_tokens: Floats
    #: Column of each bin of first-chain length (`length_bin`).
    columns: Mapping[int, int]
    #: By column: share of queries. They add up to 1.
    shares: tuple[float, ...]
    #: Mean tokens of one vote.
    first_tokens: float
    #: `accuracy[n - 1]`: accuracy of exactly n votes.
    accuracy: tuple[float, ...]
    #: `labels[n - 1]`: labelled queries behind it.
    labels: tuple[float, ...]
    #: Queries, labelled or not, with more than one vote.
    several: float

    @property
    def tokens(self) -> tuple[float, ...]:
        return tuple(votes * self.first_tokens for votes in range(1, len(self.accuracy) + 1))

    def for_all(self, *, most: int = MAX_VOTES) -> "VoteCurve":
        """The same without the columns for lengths, which only rules are made from, and without
        standings of more votes.

        In half the precision, which chances need least of all: every gateway gets it.
        """
        rows = tables().layers[most - 1].stop

        def first(table: Floats) -> Floats:
            return np.ascontiguousarray(table[:rows, :1].astype(np.float32))

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
        return learned(self.accuracy[votes - 1], self.labels[votes - 1])


def fit_votes(
    counts: VoteCounts,
    parent: VoteCounts | None = None,
    *,
    most: int = MAX_VOTES,
    columns: bool = True,
) -> VoteCurve | None:
    """None as long as neither the class nor its parent has seen a vote.

    Rules that are made from it draw at most so many votes. Without `columns` all queries are alike.
    """
    prior = prior_mixture()
    if parent is not None:
        prior = fit_mixture(parent, prior, FOR_CLASS)
    mixture = fit_mixture(counts, prior, FOR_CLASS)
    if not mixture.tokens.any():
        return None
    queries = max(1.0, counts.queries)
    seen = counts.lengths() if columns else {}
    lengths = {length: n for length, n in seen.items() if n >= _LEAST_OF_LENGTH}
    known = [fit_mixture(counts.of_length(length), mixture, FOR_LENGTH) for length in lengths]
    static = tables()
    return VoteCurve(
        *_columns([mixture, *known], tables().layers[most - 1].stop),
        {length: column for column, length in enumerate(lengths, start=1)},
        (1 - sum(lengths.values()) / queries, *(n / queries for n in lengths.values())),
        float(mixture.weights @ mixture.tokens),
        tuple(np.einsum("t,ntr,tr->n", mixture.weights, static.leads, mixture.right).tolist()),
        tuple(_labels(counts, votes) for votes in range(1, MAX_VOTES + 1)),
        sum(cell.queries for (_, standing), cell in counts.cells.items() if sum(standing) > 1),
    )


def _columns(
    mixtures: Sequence[Mixture], rows: int
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """right, is_mode, leads, seconds and next_tokens, each (standing S, mixture C).

    Of so many first standings.
    """
    static = tables()
    weights = np.stack([mixture.weights for mixture in mixtures], axis=1)
    truth = np.stack([mixture.right for mixture in mixtures], axis=2)
    tokens = np.stack([mixture.tokens for mixture in mixtures], axis=1)
    is_mode = np.zeros((*static.share.shape, 1))
    is_mode[:, MODE] = 1.0
    factors = (truth, is_mode, static.share[:, :, None])
    sums = [weights[:, None] * factor for factor in factors]
    flat = np.concatenate([each.reshape(-1, len(mixtures)) for each in sums], axis=1)
    right, mode, leads = np.split(static.likelihood[:rows].reshape(rows, -1) @ flat, 3, axis=1)
    by_type = static.by_type[:rows] @ np.concatenate([weights, weights * tokens], axis=1)
    total, next_tokens = np.split(by_type, 2, axis=1)
    seconds = static.level[:rows] @ weights
    return right / total, mode / total, leads / total, seconds / total, next_tokens / total


def _labels(counts: VoteCounts, votes: int) -> float:
    """Checked queries behind the curve at so many votes; one with fewer votes counts in part."""
    return sum(
        (cell.right + cell.wrong) * min(1, sum(standing) / votes)
        for (_, standing), cell in counts.cells.items()
    )
