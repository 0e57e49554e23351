"""What a policy would have reached on logged decisions, by importance weights.

A candidate decides on every logged query. Where the chains that the logged action drew suffice, its
answer and tokens are known exactly (`scheduler/solving/counterfactual.py`), be it that it draws
fewer votes. Such an action supports the candidate's choice. Let S be the actions that always do,
p(a) the logged propensity of action a, and s(a) the share of action a among the decisions of its
class that are in S. A decision of action a in S has the weight s(a) / p(a), any other one 0: that
is 1 / P(S) where propensities are constant, and the weights average 1 wherever the log could have
taken any action of S. (Inverse probability of censoring; of a log that tells only about the same
action it is the usual weight of IPS.)
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import numpy as np

from policies.base import Policy
from policies.curves.arrays import Floats, Integers
from scheduler.experiments.metrics import off_policy
from scheduler.experiments.metrics.bootstrap import Estimate
from scheduler.experiments.metrics.off_policy import OffPolicy, Overlap, TooLittleOverlap
from scheduler.experiments.off_policy.decision_log import LoggedAction, LoggedDecision
from scheduler.solving.counterfactual import Followed, PlanChoice, follow

LEAST_OF_ACTION = 20
"""Decisions of an action that must all tell of a choice, or nearly so, before it supports it."""
ALWAYS = 0.95
FOLDS = 5
_Z = 1.959963984540054


class Estimates(NamedTuple):
    """One quantity, each estimate with its 95 % interval. `logged` is what the log itself has, and
    `difference` that of DR from it, paired by decision.
    """

    decisions: int
    logged: Estimate
    ips: Estimate
    snips: Estimate
    dr: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True)
class PolicyEstimate:
    """`accuracy` is None without labels. With `refused` (why) there are no estimates.

    `mean_weight` is 1 where the propensities are right and every class has had the actions.
    """

    policy: str
    overlap: Overlap
    mean_weight: float
    agreement: float
    accuracy: Estimates | None = None
    tokens: Estimates | None = None
    refused: str | None = None

    def as_dict(self) -> dict[str, Any]:
        def told(found: Estimates | None) -> dict[str, Any] | None:
            if found is None:
                return None
            return {
                name: each._asdict() if isinstance(each, Estimate) else each
                for name, each in found._asdict().items()
            }

        return {
            "policy": self.policy,
            "overlap": self.overlap._asdict() | {"mean_weight": self.mean_weight},
            "agreement": self.agreement,
            "accuracy": told(self.accuracy),
            "tokens": told(self.tokens),
            "refused": self.refused,
        }


def estimate(
    decisions: Sequence[LoggedDecision],
    policy: Policy,
    *,
    label: str = "",
    seed: int = 0,
    advance: Callable[[str], None] = lambda _: None,
) -> PolicyEstimate:
    """`advance` is called with the label after every decision.

    Raises PolicyFailed, ValueError for a policy that reads curves where there are none.
    """
    label = label or policy.name
    reads = policy.options.reads_curves
    if reads and not any(each.served.curve for each in decisions):
        raise ValueError(
            f"{label} decides by learned curves: name those of the server (--curves FILE)"
        )
    found = []
    for each in decisions:
        rng = Random(f"{seed}/{each.served.query.id}")
        found.append(follow(policy, each.served, rng))
        advance(label)
    supports = _supports(decisions, found)
    target = _targets(decisions, found, supports)
    logged = np.array([each.propensity for each in decisions])
    covered = float(np.mean([bool(supports[each.choice]) for each in found]))
    weights = target / logged
    agreement = float(np.mean([each.agrees for each in found]))
    measured = off_policy.overlap(target, logged, covered)
    whole = PolicyEstimate(label, measured, float(weights.mean()), agreement)
    try:
        off_policy.refuse_little(measured)
    except TooLittleOverlap as error:
        return PolicyEstimate(*_head(whole), refused=f"{error}{_most_missing(found)}")
    clusters = _clusters(decisions)
    classes = [each.served.query.query_class for each in decisions]
    tokens = _estimates(
        np.array([each.outcome.tokens.total if each.outcome else 0 for each in found], float),
        np.array([each.tokens for each in decisions], float),
        target, logged, clusters, classes,
    )  # fmt: skip
    return PolicyEstimate(
        *_head(whole), _accuracy(decisions, found, target, logged, clusters), tokens
    )


def _head(of: PolicyEstimate) -> tuple[str, Overlap, float, float]:
    return of.policy, of.overlap, of.mean_weight, of.agreement


def _supports(
    decisions: Sequence[LoggedDecision], found: Sequence[Followed]
) -> dict[PlanChoice, set[LoggedAction]]:
    """By choice of the candidate, the logged actions whose chains always tell what it reaches."""
    seen: Counter[tuple[PlanChoice, LoggedAction]] = Counter()
    told: Counter[tuple[PlanChoice, LoggedAction]] = Counter()
    for decision, followed in zip(decisions, found, strict=True):
        key = (followed.choice, decision.action)
        seen[key] += 1
        told[key] += followed.outcome is not None
    supports: dict[PlanChoice, set[LoggedAction]] = defaultdict(set)
    for (choice, action), times in seen.items():
        if times >= LEAST_OF_ACTION and told[choice, action] >= ALWAYS * times:
            supports[choice].add(action)
    return supports


def _targets(
    decisions: Sequence[LoggedDecision],
    found: Sequence[Followed],
    supports: dict[PlanChoice, set[LoggedAction]],
) -> Floats:
    """s(a) of every decision; 0 where its action does not support the candidate's choice."""
    taken: Counter[tuple[str, PlanChoice, LoggedAction]] = Counter()
    total: Counter[tuple[str, PlanChoice]] = Counter()
    keys = []
    for decision, followed in zip(decisions, found, strict=True):
        key = (decision.served.query.query_class, followed.choice)
        tells = decision.action in supports[followed.choice] and followed.outcome is not None
        keys.append((*key, decision.action) if tells else None)
        if tells:
            taken[*key, decision.action] += 1
            total[key] += 1
    return np.array([taken[key] / total[key[:2]] if key else 0.0 for key in keys])


def _accuracy(
    decisions: Sequence[LoggedDecision],
    found: Sequence[Followed],
    target: Floats,
    logged: Floats,
    clusters: Integers,
) -> Estimates | None:
    """Of the queries that brought their right answer: by it, any answer can be graded."""
    at = [n for n, each in enumerate(decisions) if each.served.right is not None]
    if not (target[at] > 0).any():
        return None
    outcomes = [found[n].outcome for n in at]
    return _estimates(
        np.array([bool(each and each.correct) for each in outcomes], float),
        np.array([bool(decisions[n].correct) for n in at], float),
        target[at], logged[at], np.unique(clusters[at], return_inverse=True)[1],
        [decisions[n].served.query.query_class for n in at],
    )  # fmt: skip


def _estimates(
    rewards: Floats,
    served: Floats,
    target: Floats,
    logged: Floats,
    clusters: Integers,
    classes: Sequence[str],
) -> Estimates:
    predicted = _predicted(rewards, target / logged, clusters, classes)
    terms = predicted + target / logged * (rewards - predicted)
    return Estimates(
        len(rewards),
        _interval(off_policy.mean(served, clusters)),
        _interval(off_policy.ips(rewards, target, logged, clusters)),
        _interval(off_policy.snips(rewards, target, logged, clusters)),
        _interval(
            off_policy.doubly_robust(rewards, target, logged, predicted, predicted, clusters)
        ),
        _interval(off_policy.mean(terms - served, clusters)),
    )


def _predicted(
    rewards: Floats, weights: Floats, clusters: Integers, classes: Sequence[str]
) -> Floats:
    """The weighted mean of the class over the other folds, so that no question predicts itself."""
    folds, names = clusters % FOLDS, np.array(classes)
    predicted = np.empty(len(rewards))
    for fold in range(FOLDS):
        others = folds != fold
        overall = _weighted(rewards[others], weights[others], 0.5)
        for name in dict.fromkeys(classes):
            here, rest = names == name, others & (names == name)
            value = _weighted(rewards[rest], weights[rest], overall)
            predicted[here & (folds == fold)] = value
    return predicted


def _weighted(rewards: Floats, weights: Floats, otherwise: float) -> float:
    total = float(weights.sum())
    return float((weights * rewards).sum()) / total if total else otherwise


def _clusters(decisions: Sequence[LoggedDecision]) -> Integers:
    """The same question asked again is no new evidence."""
    texts = [each.served.query.messages[-1].content for each in decisions]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return np.array([numbers[text] for text in texts])


def _interval(found: OffPolicy) -> Estimate:
    half = _Z * found.error
    return Estimate(found.value, found.value - half, found.value + half)


def _most_missing(found: Sequence[Followed]) -> str:
    """What is most often missing of the chains that a policy wants."""
    missing = Counter(each.missing for each in found if each.missing)
    if not missing:
        return ""
    (why, times), *_ = missing.most_common(1)
    return f"; of {times} of {len(found)} decisions: {why}"
