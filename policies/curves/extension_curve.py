"""The curve of extensions: a greedy chain, extended step by step, shows an answer at every end.

An extension that keeps the answer changes nothing but the cost, so its value lies in the answers
that it changes: how often they were right before, and how often they are after. This difference
within one chain varies far less than the accuracies of chains with and without the extension, and
is bounded by how often answers change, which needs no label. An extension may also spoil an answer
(arXiv 2506.04210), so accuracy need not rise.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from policies.curves.counts import Interval, interval, shrink
from policies.curves.extension_counts import (
    CHANGES,
    INDEX,
    MAX_EXTENSIONS,
    MOVES,
    STATES,
    AnswerState,
    ExtensionCounts,
)
from policies.curves.hmm import (
    DEFAULT_PARAMETERS,
    ForwardPass,
    HmmParameters,
    fit_hmm,
    forward_pass,
)
from policies.curves.tail_confidence import TailConfidence, TailCounts, fit_tail

_PRIOR_VISITS = 8.0
_PRIOR_LABELS = 4.0
_UNLABELLED = 0.25
"""The weight of a change of an answer without a label, next to one with a label."""
_ROWS = [
    [row for row, state in enumerate(STATES) if state.extensions == extensions]
    for extensions in range(MAX_EXTENSIONS + 1)
]
"""By extensions: the states after so many."""


@dataclass(frozen=True, slots=True)
class ExtensionCurve:
    """One class of greedy chains.

    Tuples by state have the order of `STATES`. Tuples by number of extensions begin at 0.
    """

    #: By state: chance that the answer is right.
    right: tuple[float, ...]
    #: By state: chance that the next extension keeps the answer.
    stays: tuple[float, ...]
    #: By state: of answers that the next extension changes, the share right after it.
    repairs: tuple[float, ...]
    #: By state: of answers that the next extension changes, the share right before it.
    spoils: tuple[float, ...]
    #: By state: standard error of the accuracy that the next extension brings.
    standard_errors: tuple[float, ...]
    #: By state: tokens of the next extension.
    next_tokens: tuple[float, ...]
    #: By number of extensions w: accuracy of always forcing w of them.
    accuracy: tuple[float, ...]
    #: By number of extensions: standard error of `accuracy`.
    errors: tuple[float, ...]
    #: By number of extensions: mean tokens of the chain with its answer.
    tokens: tuple[float, ...]
    #: By number of extensions w: share of all chains that the extension after w repairs.
    repaired: tuple[float, ...]
    #: By number of extensions w: share of all chains that the extension after w spoils.
    spoilt: tuple[float, ...]
    #: Labelled chains.
    labelled: float
    #: None where it does not tell right answers from wrong ones.
    tail: TailConfidence | None = None

    @property
    def max_extensions(self) -> int:
        """The most extensions that have been seen."""
        return len(self.accuracy) - 1

    def interval(self, extensions: int) -> Interval:
        share, error = self.accuracy[extensions], self.errors[extensions]
        return interval(share, share * (1 - share) / error**2 if error else 0.0)

    def gain(self, row: int) -> float:
        """Accuracy that the extension after a state brings."""
        return (1 - self.stays[row]) * (self.repairs[row] - self.spoils[row])

    def chance(self, state: AnswerState, tail: float | None) -> float:
        """That the answer is right, at this tail confidence of the thinking (None: not known)."""
        prior = self.right[INDEX[state]]
        if self.tail is None or tail is None:
            return prior
        return self.tail.chance(prior, state.extensions, tail)


class _Estimate(NamedTuple):
    """The prior: parameters, tokens of the next extension by state, tokens of the first chain."""

    parameters: HmmParameters
    next_tokens: list[float]
    first_tokens: float


def fit_extensions(
    counts: ExtensionCounts,
    parent: ExtensionCounts | None = None,
    *,
    tails: tuple[TailCounts, TailCounts] | None = None,
) -> ExtensionCurve | None:
    """None as long as neither the class nor its parent has seen an extended chain.

    `tails` are the tail confidences of the class and of its parent.
    """
    everything = [counts] if parent is None else [counts, parent]
    seen = [
        state.extensions
        for row, state in enumerate(STATES)
        if any(known.visits[row] for known in everything)
    ]
    if not seen:
        return None
    estimate = _Estimate(DEFAULT_PARAMETERS, [0.0] * len(STATES), 0.0)
    for known in reversed(everything):
        if known.queries:
            estimate = _estimate(known, estimate)
    curve = _curve(counts, estimate, max(seen))
    return replace(curve, tail=fit_tail(*tails)) if tails else curve


def _estimate(counts: ExtensionCounts, usual: _Estimate) -> _Estimate:
    return _Estimate(
        fit_hmm(counts, usual.parameters),
        _step_tokens(counts.tokens, _steps(counts), usual.next_tokens),
        counts.first_tokens[0] / counts.queries,
    )


def _steps(counts: ExtensionCounts) -> list[float]:
    return [stay + flip for stay, flip in zip(counts.stays, counts.flips, strict=True)]


def _step_tokens(tokens: list[float], steps: list[float], usual: list[float]) -> list[float]:
    """Mean tokens of an extension by state, shrunk: state, extension, all, usual."""
    taken = sum(steps)
    means = []
    for row, state in enumerate(STATES):
        peers = _ROWS[state.extensions]
        mean = shrink(sum(tokens), taken, usual[row], 1.0)
        mean = shrink(sum(tokens[p] for p in peers), sum(steps[p] for p in peers), mean, 1.0)
        means.append(shrink(tokens[row], steps[row], mean, 2.0))
    return means


def _curve(counts: ExtensionCounts, estimate: _Estimate, max_extensions: int) -> ExtensionCurve:
    """Where a chain is after w extensions, whatever its answers: the curve that a fixed w would
    have.
    """
    forward = forward_pass(estimate.parameters)
    stays = [
        shrink(*row, _PRIOR_VISITS)
        for row in zip(counts.stays, _steps(counts), forward.stays.tolist(), strict=True)
    ]
    labels = [right + wrong for right, wrong in zip(counts.right, counts.wrong, strict=True)]
    standard_errors = _standard_errors(counts, forward, stays)
    reach, right = [0.0] * len(STATES), [0.0] * len(STATES)
    reach[0], right[0] = 1.0, estimate.parameters.start
    accuracy, tokens = [right[0]], [estimate.first_tokens]
    errors = [right[0] * (1 - right[0]) / (labels[0] + _PRIOR_LABELS)]
    repaired, spoilt = [0.0] * max_extensions, [0.0] * max_extensions
    for extensions in range(max_extensions):
        spent = variance = 0.0
        for row in _ROWS[extensions]:
            state = STATES[row]
            same, other = INDEX[state.after(same=True)], INDEX[state.after(same=False)]
            changed = reach[row] * (1 - stays[row])
            lost = min(right[row], changed * float(forward.spoilt[row]))
            won = changed * float(forward.repaired[row])
            reach[same] += reach[row] - changed
            reach[other] += changed
            right[same] += right[row] - lost
            right[other] += won
            repaired[extensions] += won
            spoilt[extensions] += lost
            spent += reach[row] * estimate.next_tokens[row]
            variance += (reach[row] * standard_errors[row]) ** 2
        accuracy.append(min(1.0, accuracy[-1] + repaired[extensions] - spoilt[extensions]))
        tokens.append(tokens[-1] + spent)
        errors.append(errors[-1] + variance)
    shares = [
        shrink(seen, labelled, min(1.0, part / mass) if mass else 0.5, _PRIOR_LABELS)
        for seen, labelled, part, mass in zip(counts.right, labels, right, reach, strict=True)
    ]
    return ExtensionCurve(
        (right[0], *shares[1:]),
        tuple(stays),
        tuple(forward.repaired.tolist()),
        tuple(forward.spoilt.tolist()),
        tuple(standard_errors),
        tuple(estimate.next_tokens),
        tuple(accuracy),
        tuple(math.sqrt(variance) for variance in errors),
        tuple(tokens),
        tuple(repaired),
        tuple(spoilt),
        labels[0],
    )


def _standard_errors(
    counts: ExtensionCounts, forward: ForwardPass, stays: list[float]
) -> list[float]:
    """By state: standard error of the accuracy that an extension brings.

    It comes from how many answers change, and from what a change brings. The latter is known from
    all changes at the same extension.
    """
    standard_errors = []
    for row, state in enumerate(STATES):
        changes = sum(counts.flips[peer] for peer in _ROWS[state.extensions])
        moves = counts.moves[state.extensions * len(MOVES) : (state.extensions + 1) * len(MOVES)]
        checked = (
            sum(moves[move] for move in CHANGES) if moves else 0.0
        )  # no extension after the last
        known = checked + _UNLABELLED * max(0.0, changes - checked)
        up, down, flip = float(forward.repaired[row]), float(forward.spoilt[row]), 1 - stays[row]
        seen = counts.stays[row] + counts.flips[row] + _PRIOR_VISITS
        worth = max(0.01, up + down - (up - down) ** 2) / (known + _PRIOR_LABELS)
        standard_errors.append(
            math.sqrt(flip**2 * worth + (up - down) ** 2 * flip * (1 - flip) / seen)
        )
    return standard_errors
