"""What an extension does to right and to wrong answers: a hidden Markov model.

An answer that stays is as right as it was; a right one that changes is spoilt; a wrong one that
changes may be repaired. Right answers change less than wrong ones, so the changes of all chains
tell how many are right, not only those of the chains with a label (Baum and Welch). Which
extensions were forced does not matter: that depends on observed changes. As some wrong answers are
as stable as right ones, chains without a label together count for little more than those with one.
"""

from typing import NamedTuple

import numpy as np

from policies.curves.arrays import Floats
from policies.curves.extension_counts import INDEX, MAX_EXTENSIONS, MOVES, STATES, ExtensionCounts

RIGHT, WRONG = range(2)

_SWEEPS = 8
_FREE, _PER_LABEL = 8.0, 2.0
"""Chains without a label count as at most so many, and so many more for each with one."""
_START, _POOLED, _WAIT = 4.0, 6.0, 6.0
"""What a prior counts as: of first answers, of all extensions together, of each."""


class HmmParameters(NamedTuple):
    """Chances, by extension where they are arrays of the shape (extension W,)."""

    #: That the first answer is right.

    start: float
    #: That a right answer changes.
    spoilt: Floats
    #: That a wrong answer changes.
    changed: Floats
    #: That a wrong answer that changes is right afterwards.
    repaired: Floats

    def step(self, wait: int) -> Floats:
        """Chances of shape (changes 2, before 2, after 2); index 0 is kept, or right."""
        spoilt, changed, repaired = self.spoilt[wait], self.changed[wait], self.repaired[wait]
        keeps = [[1 - spoilt, 0.0], [0.0, 1 - changed]]
        changes = [[0.0, spoilt], [changed * repaired, changed * (1 - repaired)]]
        return np.array([keeps, changes])


DEFAULT_PARAMETERS = HmmParameters(
    0.45, np.full(MAX_EXTENSIONS, 0.08), np.full(MAX_EXTENSIONS, 0.3), np.full(MAX_EXTENSIONS, 0.3)
)


class ForwardPass(NamedTuple):
    """By state, of the shape (state S,), in the order of `STATES`.

    `right`: chance that the answer is right. `stays`: that the next extension keeps it. Of answers
    that it changes, `spoilt` is the share right before, `repaired` the share right after.
    """

    right: Floats
    stays: Floats
    spoilt: Floats
    repaired: Floats


def _rows() -> list[list[int]]:
    """By extension: the state of each pattern."""
    layers = [[0]]
    for _ in range(MAX_EXTENSIONS):
        states = [STATES[row] for row in layers[-1]]
        layers.append([INDEX[state.after(same=same)] for state in states for same in (True, False)])
    return layers


_ROWS = _rows()


def forward_pass(parameters: HmmParameters) -> ForwardPass:
    """The chances by state that these parameters give, over all patterns of changes."""
    flow = np.zeros((len(STATES), 2, 2, 2))
    right, reached = np.zeros(len(STATES)), np.zeros(len(STATES))
    for wait, (rows, chances) in enumerate(zip(_ROWS, _forward(parameters), strict=True)):
        np.add.at(right, rows, chances[:, RIGHT])
        np.add.at(reached, rows, chances.sum(axis=1))
        if wait < MAX_EXTENSIONS:
            np.add.at(flow, rows, np.einsum("ps,bst->pbst", chances, parameters.step(wait)))
    keeps, changes = flow[:, 0].sum(axis=(1, 2)), flow[:, 1].sum(axis=(1, 2)) + 1e-12
    return ForwardPass(
        right / reached,
        keeps / (keeps + changes),
        flow[:, 1, RIGHT].sum(axis=1) / changes,
        flow[:, 1, :, RIGHT].sum(axis=1) / changes,
    )


def fit_hmm(counts: ExtensionCounts, prior: HmmParameters) -> HmmParameters:
    """Expectation maximisation (Baum and Welch).

    All extensions together are shrunk towards the prior, each extension towards them.
    """
    checked = np.array([counts.right[0], counts.wrong[0]])
    moves = np.array(counts.moves).reshape(MAX_EXTENSIONS, len(MOVES))
    patterns = np.array(counts.patterns)
    most = _FREE + _PER_LABEL * checked.sum()
    patterns = patterns * min(1.0, most / max(1.0, patterns.sum()))
    parameters = prior
    for _ in range(_SWEEPS):
        first, moved = _expected(patterns, parameters)
        first, moved = first + checked, moved + moves
        kept, spoilt, still, changed, repaired = moved.T
        parameters = HmmParameters(
            float((first[RIGHT] + _START * prior.start) / (first.sum() + _START)),
            _shares(spoilt, kept + spoilt, prior.spoilt),
            _shares(changed + repaired, still + changed + repaired, prior.changed),
            _shares(repaired, changed + repaired, prior.repaired),
        )
    return parameters


def _shares(cases: Floats, trials: Floats, prior: Floats) -> Floats:
    """Shares of shape (extension W,), shrunk towards the prior."""
    shift = (cases - trials * prior).sum() / (trials.sum() + _POOLED)
    centre = np.clip(prior + shift, 0.005, 0.98)
    return np.asarray((cases + _WAIT * centre) / (trials + _WAIT))


def _forward(parameters: HmmParameters) -> list[Floats]:
    """By extension w: chances of shape (pattern 2^w, last answer 2); index 0 is right."""
    layers = [np.array([[parameters.start, 1 - parameters.start]])]
    for wait in range(MAX_EXTENSIONS):
        layers.append(np.einsum("ps,bst->pbt", layers[-1], parameters.step(wait)).reshape(-1, 2))
    return layers


def _expected(patterns: Floats, parameters: HmmParameters) -> tuple[Floats, Floats]:
    """Expected counts: first answers (right or wrong 2), moves (extension W, move 5)."""
    ahead = _forward(parameters)
    moves = np.zeros((MAX_EXTENSIONS, len(MOVES)))
    behind = np.zeros((2 << MAX_EXTENSIONS, 2))
    for wait in reversed(range(MAX_EXTENSIONS + 1)):
        here = ahead[wait]
        ended = patterns[(1 << wait) - 1 : (2 << wait) - 1] / here.sum(axis=1)
        if wait < MAX_EXTENSIONS:
            after, step = behind.reshape(-1, 2, 2), parameters.step(wait)
            flow = np.einsum("ps,bst,pbt->bst", here, step, after)
            moves[wait] = flow[[0, 1, 0, 1, 1], [0, 0, 1, 1, 1], [0, 1, 1, 1, 0]]
            behind = ended[:, None] + np.einsum("bst,pbt->ps", step, after)
        else:
            behind = np.repeat(ended[:, None], 2, axis=1)
    return ahead[0][0] * behind[0], moves
