"""What votes are worth: a mixture of question types, and when one more vote pays.

A type says how often a sampled chain gives the most likely answer and how often the second most
likely. Counts of (leader, runner-up, rest) are all that a vote needs to remember (arXiv
2602.05395); their histogram gives the mixture by expectation maximisation, and backward induction
gives the vote counts at which to stop for any price. Stopping early needs no correction: the
likelihood of the votes does not depend on the rule that ended them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from policies.counts import Counts, Interval, interval
from policies.plan import Forecast
from policies.tally import Standing
from policies.vote_types import INDEX, LEADER, MAX_VOTES, MODE, STANDINGS, Floats, Integers, tables

_PRIOR_QUERIES = 1.5
_PRIOR_LABELS = 0.5
_SHIFT_LABELS = 4.0
_LEAST_LABELS = 4.0
_SWEEPS = 12


def _row() -> list[float]:
    return [0.0] * len(STANDINGS)


@dataclass(slots=True)
class VoteCounts(Counts):
    """Queries by their last standing; `right` and `wrong` are those whose leader was checked."""

    unlabelled: list[float] = field(default_factory=_row)
    right: list[float] = field(default_factory=_row)
    wrong: list[float] = field(default_factory=_row)
    tokens: list[float] = field(default_factory=_row)

    def observe(self, standing: Standing, tokens: int, right: bool | None) -> None:
        """One query: its last standing, the tokens of all voters, whether the leader is right."""
        row = INDEX[standing]
        counts = self.unlabelled if right is None else self.right if right else self.wrong
        counts[row] += 1.0
        self.tokens[row] += tokens

    @property
    def queries(self) -> float:
        return sum(self.unlabelled) + self.labelled

    @property
    def labelled(self) -> float:
        return sum(self.right) + sum(self.wrong)


@dataclass(frozen=True, slots=True)
class VoteRule:
    """The best stopping rule at one price.

    `needed` is how many more votes will be drawn whatever they say; 0 means stop. Drawing them all
    at once costs no token more than drawing one by one.
    """

    price: float
    needed: Mapping[Standing, int]
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class VoteCurve:
    """One class: per standing the chance that its leader is right, and what the next vote brings.

    `accuracy[n - 1]`, `tokens[n - 1]` and the `labels` behind them belong to exactly n votes.
    """

    right: Floats
    leads: Floats
    seconds: Floats
    next_tokens: Floats
    first_tokens: float
    accuracy: tuple[float, ...]
    tokens: tuple[float, ...]
    labels: tuple[float, ...]

    def interval(self, votes: int) -> Interval:
        return interval(self.accuracy[votes - 1], self.labels[votes - 1] + _LEAST_LABELS)

    def rule(self, price: float, max_votes: int = MAX_VOTES) -> VoteRule:
        static = tables()
        value = self.right.copy()
        needed = np.zeros(len(STANDINGS), dtype=np.int64)
        for rows in reversed(static.layers[: max_votes - 1]):
            on = self._expect(value, rows) - price * self.next_tokens[rows]
            goes_on = on > self.right[rows] + 1e-12
            value[rows] = np.where(goes_on, on, self.right[rows])
            soonest = np.minimum(needed[static.if_lead[rows]], needed[static.if_second[rows]])
            soonest = np.minimum(soonest, needed[static.if_other[rows]])
            needed[rows] = np.where(goes_on, 1 + soonest, 0)
        return VoteRule(
            price,
            dict(zip(STANDINGS, needed.tolist(), strict=True)),
            self._forecast(needed == 0),
        )

    def _expect(self, value: Floats, rows: Integers) -> Floats:
        """The mean of `value` after one more vote."""
        static = tables()
        leads, seconds = self.leads[rows], self.seconds[rows]
        return (
            leads * value[static.if_lead[rows]]
            + seconds * value[static.if_second[rows]]
            + (1 - leads - seconds) * value[static.if_other[rows]]
        )

    def _forecast(self, stops: NDArray[np.bool_]) -> Forecast:
        accuracy = self.right.copy()
        tokens = np.zeros_like(accuracy)
        for rows in reversed(tables().layers[:-1]):
            on = rows[~stops[rows]]
            accuracy[on] = self._expect(accuracy, on)
            tokens[on] = self.next_tokens[on] + self._expect(tokens, on)
        return Forecast(float(accuracy[0]), self.first_tokens + float(tokens[0]))


@dataclass(frozen=True, slots=True)
class _Mixture:
    """Types of one class: their weights, P(right) by type and role, tokens of a vote by type."""

    weights: Floats
    right: Floats
    tokens: Floats


def _prior() -> _Mixture:
    mode = tables().mode
    weights = np.where(mode > 0.9, 2.0, 1.0)
    truth = np.clip(0.25 + 0.72 * mode, 0.02, 0.985)
    right = np.stack([truth, 0.5 * (1 - truth), 0.25 * (1 - truth)], axis=1)
    return _Mixture(weights / weights.sum(), right, np.zeros_like(mode))


def _mixture(counts: VoteCounts, prior: _Mixture) -> _Mixture:
    """Expectation maximisation over the standings seen; the prior counts as a few queries."""
    static = tables()
    unlabelled, right, wrong, tokens = (np.array(row) for row in counts.rows().values())
    queries = unlabelled + right + wrong
    seen = np.flatnonzero(queries)
    if not len(seen):
        return prior
    likelihood = static.likelihood[seen]
    weights, truth = prior.weights, prior.right
    by_type = np.zeros((len(seen), len(weights)))
    for _ in range(_SWEEPS):
        joint = likelihood * weights[None, :, None]
        leader_right = truth[:, LEADER][None]
        free = _spread(joint, unlabelled[seen])
        if_right = _spread(joint * leader_right, right[seen])
        if_wrong = _spread(joint * (1 - leader_right), wrong[seen])
        by_type = (free + if_right + if_wrong).sum(axis=2)
        weights = _PRIOR_QUERIES * prior.weights + by_type.sum(axis=0)
        weights /= weights.sum()
        truth = _calibrated(prior.right, _by_role(if_right), _by_role(if_wrong))
    votes = by_type.T @ static.votes[seen]
    spent = (by_type / queries[seen, None]).T @ tokens[seen]
    own_mean = tokens.sum() / (queries @ static.votes)
    return _Mixture(weights, truth, (3 * own_mean + spent) / (3 + votes))


def _spread(joint: Floats, counts: Floats) -> Floats:
    """Counts by standing, dealt out over types and roles as the joint chance says."""
    total = np.maximum(joint.sum(axis=(1, 2), keepdims=True), 1e-300)
    return np.asarray(joint / total * counts[:, None, None])


def _by_role(spread: Floats) -> Floats:
    return np.asarray(spread.sum(axis=0) @ (LEADER[:, None] == np.arange(3)))


def _calibrated(prior: Floats, right: Floats, wrong: Floats) -> Floats:
    """P(right) by type and role: one shift for all modes, then each type's own labels."""
    labels = right + wrong
    excess = right[:, MODE].sum() - prior[:, MODE] @ labels[:, MODE]
    shift = excess / (labels[:, MODE].sum() + _SHIFT_LABELS)
    centre = prior.copy()
    centre[:, MODE] = np.clip(centre[:, MODE] + shift, 0.01, 0.995)
    return np.asarray((_PRIOR_LABELS * centre + right) / (_PRIOR_LABELS + labels))


def fit_votes(counts: VoteCounts, parent: VoteCounts | None = None) -> VoteCurve | None:
    """None as long as neither the class nor its parent has seen a vote."""
    prior = _prior()
    if parent is not None:
        prior = _mixture(parent, prior)
    mixture = _mixture(counts, prior)
    if not mixture.tokens.any():
        return None
    static = tables()
    posterior = static.likelihood * mixture.weights[None, :, None]
    posterior /= posterior.sum(axis=(1, 2), keepdims=True)
    right = np.einsum("sth,th->s", posterior, mixture.right[:, LEADER])
    leads = np.einsum("sth,th->s", posterior, static.lead_share)
    seconds = np.einsum("sth,sth->s", posterior, static.second_share)
    next_tokens = posterior.sum(axis=2) @ mixture.tokens
    first_tokens = float(mixture.weights @ mixture.tokens)

    reach = np.zeros(len(STANDINGS))
    reach[0] = 1.0
    tokens = [first_tokens]
    for rows in static.layers[:-1]:
        tokens.append(tokens[-1] + float(reach[rows] @ next_tokens[rows]))
        np.add.at(reach, static.if_lead[rows], reach[rows] * leads[rows])
        np.add.at(reach, static.if_second[rows], reach[rows] * seconds[rows])
        others = 1 - leads[rows] - seconds[rows]
        np.add.at(reach, static.if_other[rows], reach[rows] * others)
    accuracy = np.einsum("t,ntr,tr->n", mixture.weights, static.leads, mixture.right)
    return VoteCurve(
        right,
        leads,
        seconds,
        next_tokens,
        first_tokens,
        tuple(accuracy.tolist()),
        tuple(tokens),
        tuple(_labels(counts, votes) for votes in range(1, MAX_VOTES + 1)),
    )


def _labels(counts: VoteCounts, votes: int) -> float:
    """Checked queries behind the curve at so many votes; one with fewer votes counts in part."""
    checked = zip(STANDINGS, counts.right, counts.wrong, strict=True)
    return sum((right + wrong) * min(1, sum(here) / votes) for here, right, wrong in checked)
