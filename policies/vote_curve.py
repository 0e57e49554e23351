"""What votes are worth: a mixture of question types, and when one more vote pays.

A type says how often a sampled chain gives the most likely answer and how often the second most
likely. Counts of (leader, runner-up, rest) are all that a vote needs to remember (arXiv
2602.05395); their histogram gives the mixture by expectation maximisation, and backward induction
gives the vote counts at which to stop for any price. Stopping early needs no correction: the
likelihood of the votes does not depend on the rule that ended them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from policies.base import Forecast
from policies.counts import Counts, Interval, interval
from policies.tally import Standing

MAX_VOTES = 16
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_STANDINGS = tuple(
    Standing(leader, runner_up, votes - leader - runner_up)
    for votes in range(1, MAX_VOTES + 1)
    for leader in range(1, votes + 1)
    for runner_up in range(min(leader, votes - leader) + 1)
    if runner_up or votes == leader
)
_INDEX: Mapping[Standing, int] = {standing: row for row, standing in enumerate(_STANDINGS)}

# Who can lead and who can be second: the mode, the second most likely answer, or any other.
_MODE, _SECOND, _OTHER = range(3)
_LEADER = np.array([_MODE, _SECOND, _MODE, _OTHER, _SECOND, _OTHER, _OTHER])
_RUNNER_UP = np.array([_SECOND, _MODE, _OTHER, _MODE, _OTHER, _SECOND, _OTHER])
_WITHOUT_RUNNER_UP = [0, 1, 3]
_OTHERS = 8

_PRIOR_QUERIES = 1.5
_PRIOR_LABELS = 0.5
_SHIFT_LABELS = 4.0
_LEAST_LABELS = 4.0
_SWEEPS = 12


def _row() -> list[float]:
    return [0.0] * len(_STANDINGS)


@dataclass(slots=True)
class VoteCounts(Counts):
    """Queries by their last standing; `right` and `wrong` are those whose leader was checked."""

    unlabelled: list[float] = field(default_factory=_row)
    right: list[float] = field(default_factory=_row)
    wrong: list[float] = field(default_factory=_row)
    tokens: list[float] = field(default_factory=_row)

    def observe(self, standing: Standing, tokens: int, right: bool | None) -> None:
        """One query: its last standing, the tokens of all voters, whether the leader is right."""
        row = _INDEX[standing]
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

    `accuracy[n - 1]` and `tokens[n - 1]` belong to a fixed number of n votes.
    """

    right: Floats
    leads: Floats
    seconds: Floats
    next_tokens: Floats
    first_tokens: float
    labelled: float
    accuracy: tuple[float, ...]
    tokens: tuple[float, ...]

    def interval(self, votes: int) -> Interval:
        return interval(self.accuracy[votes - 1], self.labelled + _LEAST_LABELS)

    def rule(self, price: float, max_votes: int = MAX_VOTES) -> VoteRule:
        tables = _tables()
        value = self.right.copy()
        needed = np.zeros(len(_STANDINGS), dtype=np.int64)
        for rows in reversed(tables.layers[: max_votes - 1]):
            on = self._expect(value, rows) - price * self.next_tokens[rows]
            goes_on = on > self.right[rows] + 1e-12
            value[rows] = np.where(goes_on, on, self.right[rows])
            soonest = np.minimum(needed[tables.if_lead[rows]], needed[tables.if_second[rows]])
            soonest = np.minimum(soonest, needed[tables.if_other[rows]])
            needed[rows] = np.where(goes_on, 1 + soonest, 0)
        return VoteRule(
            price,
            dict(zip(_STANDINGS, needed.tolist(), strict=True)),
            self._forecast(needed == 0),
        )

    def _expect(self, value: Floats, rows: Integers) -> Floats:
        """The mean of `value` after one more vote."""
        tables = _tables()
        leads, seconds = self.leads[rows], self.seconds[rows]
        return (
            leads * value[tables.if_lead[rows]]
            + seconds * value[tables.if_second[rows]]
            + (1 - leads - seconds) * value[tables.if_other[rows]]
        )

    def _forecast(self, stops: NDArray[np.bool_]) -> Forecast:
        accuracy = self.right.copy()
        tokens = np.zeros_like(accuracy)
        for rows in reversed(_tables().layers[:-1]):
            on = rows[~stops[rows]]
            accuracy[on] = self._expect(accuracy, on)
            tokens[on] = self.next_tokens[on] + self._expect(tokens, on)
        return Forecast(float(accuracy[0]), self.first_tokens + float(tokens[0]))


@dataclass(frozen=True, slots=True)
class _Tables:
    """What no class changes. Axes: standing, type, and who leads before whom."""

    votes: Integers
    mode: Floats
    likelihood: Floats
    lead_share: Floats
    second_share: Floats
    if_lead: Integers
    if_second: Integers
    if_other: Integers
    layers: tuple[Integers, ...]


@cache
def _tables() -> _Tables:
    modes = np.array([0.08, 0.15, 0.22, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.98, 0.997])
    rivals = np.array([0.12, 0.5, 0.9])
    mode = np.repeat(modes, len(rivals))
    second = np.tile(rivals, len(modes)) * np.minimum(mode, 1 - mode)
    other = np.maximum(1 - mode - second, 1e-4) / _OTHERS
    share = np.stack([mode, second, other], axis=1)
    lead_share, second_share = share[:, _LEADER], share[:, _RUNNER_UP]
    rest = np.maximum(1 - lead_share - second_share, 1e-9)
    choices = np.array([1, 1, _OTHERS])
    ways = choices[_LEADER] * np.where(
        _LEADER == _RUNNER_UP, choices[_RUNNER_UP] - 1, choices[_RUNNER_UP]
    )

    counts = np.array(_STANDINGS)
    leader, runner_up, others = (column[:, None, None] for column in counts.T)
    log = leader * np.log(lead_share) + runner_up * np.log(second_share) + others * np.log(rest)
    alone = np.full(len(_LEADER), -np.inf)
    alone[_WITHOUT_RUNNER_UP] = np.log(choices[_LEADER[_WITHOUT_RUNNER_UP]])
    log = log + np.where(runner_up == 0, alone, np.log(ways))
    log -= log.max(axis=(1, 2), keepdims=True)

    votes = counts.sum(axis=1)
    after = np.array([_after(standing) for standing in _STANDINGS]).T
    layers = tuple(np.flatnonzero(votes == count) for count in range(1, MAX_VOTES + 1))
    return _Tables(
        votes,
        mode,
        np.exp(log),
        lead_share,
        second_share,
        after[0],
        after[1],
        after[2],
        layers,
    )


def _after(standing: Standing) -> tuple[int, int, int]:
    """Where one more vote leads: for the leader, for the runner-up, for any other answer."""
    first, second, rest = standing
    if sum(standing) == MAX_VOTES:
        return (0, 0, 0)
    lead = _INDEX[Standing(first + 1, second, rest)]
    if second == 0:
        rival = _INDEX[Standing(first, 1, 0)]
        return (lead, rival, rival)
    high, low = max(first, second + 1), min(first, second + 1)
    return (
        lead,
        _INDEX[Standing(high, low, rest)],
        _INDEX[Standing(first, second, rest + 1)],
    )


@dataclass(frozen=True, slots=True)
class _Mixture:
    """Types of one class: their weights, P(right) by type and role, tokens of a vote by type."""

    weights: Floats
    right: Floats
    tokens: Floats


def _prior() -> _Mixture:
    mode = _tables().mode
    weights = np.where(mode > 0.9, 2.0, 1.0)
    truth = np.clip(0.25 + 0.72 * mode, 0.02, 0.985)
    right = np.stack([truth, 0.5 * (1 - truth), 0.25 * (1 - truth)], axis=1)
    return _Mixture(weights / weights.sum(), right, np.zeros_like(mode))


def _mixture(counts: VoteCounts, prior: _Mixture) -> _Mixture:
    """Expectation maximisation over the standings seen; the prior counts as a few queries."""
    tables = _tables()
    unlabelled, right, wrong, tokens = (np.array(row) for row in counts.rows().values())
    queries = unlabelled + right + wrong
    seen = np.flatnonzero(queries)
    if not len(seen):
        return prior
    likelihood = tables.likelihood[seen]
    weights, truth = prior.weights, prior.right
    by_type = np.zeros((len(seen), len(weights)))
    for _ in range(_SWEEPS):
        joint = likelihood * weights[None, :, None]
        leader_right = truth[:, _LEADER][None]
        free = _spread(joint, unlabelled[seen])
        if_right = _spread(joint * leader_right, right[seen])
        if_wrong = _spread(joint * (1 - leader_right), wrong[seen])
        by_type = (free + if_right + if_wrong).sum(axis=2)
        weights = _PRIOR_QUERIES * prior.weights + by_type.sum(axis=0)
        weights /= weights.sum()
        truth = _calibrated(prior.right, _by_role(if_right), _by_role(if_wrong))
    votes = by_type.T @ tables.votes[seen]
    spent = (by_type / queries[seen, None]).T @ tokens[seen]
    own_mean = tokens.sum() / (queries @ tables.votes)
    return _Mixture(weights, truth, (3 * own_mean + spent) / (3 + votes))


def _spread(joint: Floats, counts: Floats) -> Floats:
    """Counts by standing, dealt out over types and roles as the joint chance says."""
    total = np.maximum(joint.sum(axis=(1, 2), keepdims=True), 1e-300)
    return np.asarray(joint / total * counts[:, None, None])


def _by_role(spread: Floats) -> Floats:
    return np.asarray(spread.sum(axis=0) @ (_LEADER[:, None] == np.arange(3)))


def _calibrated(prior: Floats, right: Floats, wrong: Floats) -> Floats:
    """P(right) by type and role: one shift for all modes, then each type's own labels."""
    labels = right + wrong
    excess = right[:, _MODE].sum() - prior[:, _MODE] @ labels[:, _MODE]
    shift = excess / (labels[:, _MODE].sum() + _SHIFT_LABELS)
    centre = prior.copy()
    centre[:, _MODE] = np.clip(centre[:, _MODE] + shift, 0.01, 0.995)
    return np.asarray((_PRIOR_LABELS * centre + right) / (_PRIOR_LABELS + labels))


def fit_votes(counts: VoteCounts, parent: VoteCounts | None = None) -> VoteCurve | None:
    """None as long as neither the class nor its parent has seen a vote."""
    prior = _prior()
    if parent is not None:
        prior = _mixture(parent, prior)
    mixture = _mixture(counts, prior)
    if not mixture.tokens.any():
        return None
    tables = _tables()
    posterior = tables.likelihood * mixture.weights[None, :, None]
    posterior /= posterior.sum(axis=(1, 2), keepdims=True)
    right = np.einsum("sth,th->s", posterior, mixture.right[:, _LEADER])
    leads = np.einsum("sth,th->s", posterior, tables.lead_share)
    seconds = np.einsum("sth,th->s", posterior, tables.second_share)
    next_tokens = posterior.sum(axis=2) @ mixture.tokens
    first_tokens = float(mixture.weights @ mixture.tokens)

    reach = np.zeros(len(_STANDINGS))
    reach[0] = 1.0
    accuracy, tokens = [float(right[0])], [first_tokens]
    for rows in tables.layers[:-1]:
        tokens.append(tokens[-1] + float(reach[rows] @ next_tokens[rows]))
        np.add.at(reach, tables.if_lead[rows], reach[rows] * leads[rows])
        np.add.at(reach, tables.if_second[rows], reach[rows] * seconds[rows])
        others = 1 - leads[rows] - seconds[rows]
        np.add.at(reach, tables.if_other[rows], reach[rows] * others)
        after = tables.layers[len(accuracy)]
        accuracy.append(float(reach[after] @ right[after]))
    return VoteCurve(
        right,
        leads,
        seconds,
        next_tokens,
        first_tokens,
        counts.labelled,
        tuple(accuracy),
        tuple(tokens),
    )
