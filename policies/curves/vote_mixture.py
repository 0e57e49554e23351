"""A class as a mixture of question types, fitted by expectation maximisation.

A type says how often a sampled chain gives the most likely answer and how often the second most
likely; learned of it is how common it is, and which of its answers is right. Stopping early needs
no correction: the likelihood of the votes does not depend on the rule that ended them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from policies.curves.arrays import Floats
from policies.curves.vote_counts import VoteCounts
from policies.curves.vote_types import INDEX, MODE, OTHER, tables

_PRIOR_VOTES = 3.0
_ELSEWHERE = (0.5, 0.3, 0.2)
"""Where the mode is wrong: the second, one of the others, or none of them is right."""
_SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Mixture:
    """The T types of questions in one class."""

    #: (T,): share of each type. They add up to 1.

    weights: Floats
    #: (T, 4): chance that the right answer is the mode, the second, one of the others, or none.
    #: Each row adds up to 1.
    truth: Floats
    #: (T,): mean tokens of a vote.
    tokens: Floats

    @property
    def right(self) -> Floats:
        """(type T, role R): chance that a leader of that role is right."""
        return _right(self.truth)


class Weight(NamedTuple):
    """What a prior counts as: queries for the mixture, labels for each type and for their shift."""

    queries: float
    labels: float
    shift: float
    inherits_tokens: bool = False


FOR_CLASS = Weight(queries=1.5, labels=0.5, shift=4.0)
FOR_LENGTH = Weight(queries=3.0, labels=4.0, shift=8.0, inherits_tokens=True)


def prior_mixture() -> Mixture:
    """What is assumed before any vote was observed; no tokens."""
    mode = tables().mode
    weights = np.where(mode > 0.9, 2.0, 1.0)
    right = np.clip(0.25 + 0.72 * mode, 0.02, 0.985)
    truth = (1 - right)[:, None] * np.array((0.0, *_ELSEWHERE))
    truth[:, MODE] = right
    return Mixture(weights / weights.sum(), truth, np.zeros_like(mode))


def _right(truth: Floats) -> Floats:
    """(T, 4) to (T, 3). Of several others that may lead at most one is right."""
    right = truth[:, :-1].copy()
    right[:, OTHER] /= tables().others
    return right


def fit_mixture(counts: VoteCounts, prior: Mixture, weight: Weight) -> Mixture:
    """Expectation maximisation over the standings seen; the prior counts as a few queries."""
    if not counts.queries:
        return prior
    static = tables()
    rows = [INDEX[standing] for _, standing in counts.cells]
    unlabelled, right, wrong, tokens = np.array(list(counts.cells.values())).T
    likelihood = static.likelihood[rows]
    flat = likelihood.reshape(len(rows), -1)
    by_type = static.by_type[rows]

    def spread(joint: Floats, cases: Floats) -> Floats:
        """Cases (standing S,), spread over (type T, role R) by the joint chance."""
        if not cases.any():
            return np.zeros_like(joint)
        chance = np.maximum(flat @ joint.ravel(), 1e-300)
        return np.asarray(joint * (cases / chance @ flat).reshape(joint.shape))

    weights, truth = prior.weights, prior.truth
    for _ in range(_SWEEPS):
        leader = _right(truth)
        joint = np.repeat(weights[:, None], leader.shape[1], axis=1)
        if_right = spread(joint * leader, right)
        if_wrong = spread(joint * (1 - leader), wrong)
        members = (spread(joint, unlabelled) + if_right + if_wrong).sum(axis=1)
        weights = weight.queries * prior.weights + members
        weights /= weights.sum()
        found = _elsewhere(truth, leader, if_wrong)
        found[:, :-1] += if_right
        truth = _calibrated(prior.truth, found, weight)
    belongs = by_type * weights
    belongs /= belongs.sum(axis=1, keepdims=True)
    votes = belongs.T @ ((unlabelled + right + wrong) * static.votes[rows])
    usual = prior.tokens if weight.inherits_tokens else tokens.sum() / votes.sum()
    mean = (_PRIOR_VOTES * usual + belongs.T @ tokens) / (_PRIOR_VOTES + votes)
    return Mixture(weights, truth, mean)


def _elsewhere(truth: Floats, leader: Floats, wrong: Floats) -> Floats:
    """(T, 4): expected counts of the right answer where the leader was wrong, (T, 3)."""
    cases = wrong / np.maximum(1 - leader, 1e-9)
    found = cases.sum(axis=1, keepdims=True) * truth
    found[:, :-1] -= cases * leader
    return np.asarray(found)


def _calibrated(prior: Floats, found: Floats, weight: Weight) -> Floats:
    """(T, 4): one shift for all modes, then the labels of each type."""
    labels = found.sum(axis=1)
    excess = found[:, MODE].sum() - prior[:, MODE] @ labels
    shift = excess / (labels.sum() + weight.shift)
    mode = np.clip(prior[:, MODE] + shift, 0.01, 0.995)
    centre = prior * ((1 - mode) / (1 - prior[:, MODE]))[:, None]
    centre[:, MODE] = mode
    return np.asarray((weight.labels * centre + found) / (weight.labels + labels)[:, None])
