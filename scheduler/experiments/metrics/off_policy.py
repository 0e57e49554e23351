"""What another policy would have reached, estimated from logged decisions and their propensities.

Importance sampling (IPS), its self-normalised form (SNIPS; Swaminathan and Joachims 2015), and the
doubly robust estimator (DR; Dudik et al. 2011, arXiv:1103.4601).
"""

from typing import NamedTuple

import numpy as np

from policies.curves.arrays import Floats, Integers

LEAST_SAMPLE = 30.0
LEAST_COVERED = 0.95


class Overlap(NamedTuple):
    """`covered` is the share of the target policy's choices that the log could have made;
    `effective` is how many unweighted decisions the weighted ones are worth; `largest` is the
    biggest weight.
    """

    decisions: int
    covered: float
    effective: float
    largest: float


class OffPolicy(NamedTuple):
    """Value, and its standard error; decisions of one cluster count as one piece of evidence."""

    value: float
    error: float


class TooLittleOverlap(ValueError):
    """The log tells too little of what the target policy does."""


def overlap(target: Floats, logged: Floats, covered: float = 1.0) -> Overlap:
    """`target` and `logged` are the probabilities of each logged choice under both policies.

    `covered` is the mean, over decisions, of the target's probability of all choices that the
    logging policy could make. Raises ValueError for a propensity that cannot be.
    """
    _check(target, logged)
    weights = target / logged
    squares = float((weights**2).sum())
    effective = float(weights.sum() ** 2 / squares) if squares else 0.0
    return Overlap(len(weights), covered, effective, float(weights.max(initial=0.0)))


def refuse_little(found: Overlap) -> None:
    """Raise TooLittleOverlap where no estimate could be trusted."""
    if found.covered < LEAST_COVERED:
        raise TooLittleOverlap(
            f"the logging policy never makes {1 - found.covered:.0%} of this policy's choices; "
            "log some exploration of them first"
        )
    if found.effective < LEAST_SAMPLE:
        raise TooLittleOverlap(
            f"{found.decisions} logged decisions are worth {found.effective:.1f} of this policy's; "
            f"at least {LEAST_SAMPLE:.0f} are needed"
        )


def ips(
    rewards: Floats, target: Floats, logged: Floats, clusters: Integers | None = None
) -> OffPolicy:
    """Unbiased; its error grows with the weights."""
    _check(target, logged)
    return mean(rewards * target / logged, clusters)


def snips(
    rewards: Floats, target: Floats, logged: Floats, clusters: Integers | None = None
) -> OffPolicy:
    """A little biased, with less variance; its value lies within the range of the rewards."""
    _check(target, logged)
    weights = target / logged
    total = weights.sum()
    if not total:
        return OffPolicy(np.nan, np.nan)
    value = float((weights * rewards).sum() / total)
    terms = weights * (rewards - value) / weights.mean()
    return OffPolicy(value, mean(terms, clusters).error)


def doubly_robust(
    rewards: Floats,
    target: Floats,
    logged: Floats,
    predicted: Floats,
    predicted_target: Floats,
    clusters: Integers | None = None,
) -> OffPolicy:
    """Unbiased where either the propensities or the predictions are right.

    `predicted` is the model's reward of the logged choice, `predicted_target` its mean reward of
    the target policy's choices for the same question.
    """
    _check(target, logged)
    return mean(predicted_target + target / logged * (rewards - predicted), clusters)


def mean(terms: Floats, clusters: Integers | None = None) -> OffPolicy:
    """The mean of the terms of an estimator; `clusters` numbers, from 0, what each belongs to."""
    value, n = float(terms.mean()), len(terms)
    sums = terms - value if clusters is None else np.bincount(clusters, terms - value)
    if len(sums) < 2:
        return OffPolicy(value, np.nan)
    spread = float((sums**2).sum()) * len(sums) / (len(sums) - 1)
    return OffPolicy(value, float(np.sqrt(spread)) / n)


def _check(target: Floats, logged: Floats) -> None:
    if len(target) != len(logged) or not len(logged):
        raise ValueError(f"{len(target)} target and {len(logged)} logged probabilities")
    if not ((logged > 0) & (logged <= 1)).all():
        raise ValueError(f"propensities must be in (0, 1], got {logged.min()!r}")
    if not ((target >= 0) & (target <= 1)).all():
        raise ValueError(f"target probabilities must be in [0, 1], got {target.min()!r}")
