"""What "Wait" is worth: a greedy chain, extended step by step, shows an answer at every end.

A chain's state is how many Waits it has had and how many equal answers it gave in a row. Right
answers tend to stay; so states are told apart by accuracy, and backward induction says for any
price in which of them one more Wait pays. "Wait" may also spoil an answer (arXiv 2506.04210), so
accuracy need not rise. A run of w Waits shows what every smaller number would have given.

Without labels accuracy comes from stability: an answer that the chain will give up was right with
a small chance only, so the share of flips bounds the gain.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from policies.counts import Counts, Interval, interval, shrunk
from policies.plan import Forecast
from policies.tally import Ballot

MAX_WAITS = 6
MAX_RUN = 3

_PRIOR_VISITS = 4.0
_PRIOR_LABELS = 4.0
_SHIFT_LABELS = 8.0
_RIGHT_IF_KEPT = (0.55, 0.75, 0.85)
_RIGHT_IF_GIVEN_UP = 0.1
_STAY = (0.7, 0.85, 0.95)


class State(NamedTuple):
    """`run` counts equal answers in a row, the last one included, up to MAX_RUN."""

    waits: int
    run: int

    def after(self, *, same: bool) -> "State":
        return State(self.waits + 1, min(self.run + 1, MAX_RUN) if same else 1)


STATES = tuple(
    State(waits, run)
    for waits in range(MAX_WAITS + 1)
    for run in range(1, min(waits + 1, MAX_RUN) + 1)
)
_INDEX = {state: row for row, state in enumerate(STATES)}


def states(answers: Sequence[str | None]) -> Iterator[State]:
    """The states that a chain went through: one answer for each end, in order."""
    state = State(0, 1)
    for waits, answer in enumerate(answers[: MAX_WAITS + 1]):
        if waits:
            state = state.after(same=answer == answers[waits - 1])
        yield state


def _row() -> list[float]:
    return [0.0] * len(STATES)


def _waits() -> list[float]:
    return [0.0] * MAX_WAITS


@dataclass(slots=True)
class ExtensionCounts(Counts):
    """By state: visits, checked answers, and what the next Wait did and cost.

    `repaired` of `wrong_before` and `corrupted` of `right_before` are counted by Wait.
    """

    visits: list[float] = field(default_factory=_row)
    right: list[float] = field(default_factory=_row)
    wrong: list[float] = field(default_factory=_row)
    stays: list[float] = field(default_factory=_row)
    flips: list[float] = field(default_factory=_row)
    tokens: list[float] = field(default_factory=_row)
    first_tokens: list[float] = field(default_factory=lambda: [0.0])
    labelled: list[float] = field(default_factory=lambda: [0.0])
    wrong_before: list[float] = field(default_factory=_waits)
    repaired: list[float] = field(default_factory=_waits)
    right_before: list[float] = field(default_factory=_waits)
    corrupted: list[float] = field(default_factory=_waits)

    def observe(self, ballots: Sequence[Ballot], right: Sequence[bool | None]) -> None:
        """One greedy chain that ended by itself: its ballots from no Wait upwards, none missing."""
        previous = 0
        self.first_tokens[0] += ballots[0].tokens
        self.labelled[0] += right[0] is not None
        for waits, state in enumerate(states([ballot.answer for ballot in ballots])):
            row = _INDEX[state]
            self.visits[row] += 1.0
            if waits:
                outcome = self.stays if state.run > 1 else self.flips
                outcome[previous] += 1.0
                self.tokens[previous] += ballots[waits].tokens - ballots[waits - 1].tokens
                self._observe_repair(waits - 1, right[waits - 1], right[waits])
            if right[waits] is not None:
                (self.right if right[waits] else self.wrong)[row] += 1.0
            previous = row

    def _observe_repair(self, wait: int, before: bool | None, after: bool | None) -> None:
        if before is None or after is None:
            return
        if before:
            self.right_before[wait] += 1.0
            self.corrupted[wait] += not after
        else:
            self.wrong_before[wait] += 1.0
            self.repaired[wait] += after

    @property
    def queries(self) -> float:
        return self.visits[0]


@dataclass(frozen=True, slots=True)
class ExtensionRule:
    """The states in which one more Wait pays at one price, and what that gives on average."""

    price: float
    goes_on: frozenset[State]
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class ExtensionCurve:
    """One class. `right`, `stays` and `next_tokens` are by state (in the order of STATES).

    `accuracy[w]` and `tokens[w]` belong to always forcing w Waits; `repairs[w]` and
    `corruptions[w]` are the chances that the Wait after w mends a wrong or spoils a right answer.
    """

    right: tuple[float, ...]
    stays: tuple[float, ...]
    next_tokens: tuple[float, ...]
    first_tokens: float
    accuracy: tuple[float, ...]
    errors: tuple[float, ...]
    tokens: tuple[float, ...]
    repairs: tuple[float, ...]
    corruptions: tuple[float, ...]

    @property
    def max_waits(self) -> int:
        """The most Waits that have been seen."""
        return len(self.accuracy) - 1

    def interval(self, waits: int) -> Interval:
        share, error = self.accuracy[waits], self.errors[waits]
        return interval(share, share * (1 - share) / error**2 if error else 0.0)

    def rule(self, price: float) -> ExtensionRule:
        """Backward induction: go on where the next answer is worth more than its tokens."""
        value, accuracy = list(self.right), list(self.right)
        tokens = [0.0] * len(STATES)
        goes_on = set()
        for row, state in reversed(tuple(enumerate(STATES))):
            if state.waits >= self.max_waits:
                continue
            same, other = (
                _INDEX[state.after(same=True)],
                _INDEX[state.after(same=False)],
            )
            stay, step = self.stays[row], self.next_tokens[row]
            on = stay * value[same] + (1 - stay) * value[other] - price * step
            if on > value[row] + 1e-12:
                goes_on.add(state)
                value[row] = on
                accuracy[row] = stay * accuracy[same] + (1 - stay) * accuracy[other]
                tokens[row] = step + stay * tokens[same] + (1 - stay) * tokens[other]
        return ExtensionRule(
            price,
            frozenset(goes_on),
            Forecast(accuracy[0], self.first_tokens + tokens[0]),
        )


class _Estimate(NamedTuple):
    """By state: P(right), P(the next answer is the same), tokens of the next Wait."""

    right: list[float]
    stays: list[float]
    next_tokens: list[float]
    first_tokens: float
    shift: float


_UNSEEN = _Estimate(
    right=[_RIGHT_IF_KEPT[state.run - 1] for state in STATES],
    stays=[_STAY[state.run - 1] for state in STATES],
    next_tokens=[0.0 for _ in STATES],
    first_tokens=0.0,
    shift=0.0,
)


def fit_extensions(
    counts: ExtensionCounts, parent: ExtensionCounts | None = None
) -> ExtensionCurve | None:
    """None as long as neither the class nor its parent has seen a greedy chain."""
    everything = [counts] if parent is None else [counts, parent]
    seen = [
        state.waits
        for row, state in enumerate(STATES)
        if any(known.visits[row] for known in everything)
    ]
    if not seen:
        return None
    usual = _UNSEEN if parent is None else _estimate(parent, _UNSEEN, max(seen))
    return _curve(counts, _estimate(counts, usual, max(seen)), max(seen))


def _estimate(counts: ExtensionCounts, usual: _Estimate, max_waits: int) -> _Estimate:
    """The class's own counts, pulled towards what is usual."""
    if not counts.queries:
        return usual
    steps = [stay + flip for stay, flip in zip(counts.stays, counts.flips, strict=True)]
    stays = [
        shrunk(*row, _PRIOR_VISITS) for row in zip(counts.stays, steps, usual.stays, strict=True)
    ]
    right, shift = _accuracy(counts, stays, usual.shift, max_waits)
    return _Estimate(
        right,
        stays,
        _step_tokens(counts.tokens, steps, usual.next_tokens),
        counts.first_tokens[0] / counts.queries,
        shift,
    )


def _accuracy(
    counts: ExtensionCounts, stays: list[float], shift: float, max_waits: int
) -> tuple[list[float], float]:
    """P(right) by state: first from stability alone, then one shift for all, then by label."""
    stable = [_RIGHT_IF_KEPT[state.run - 1] for state in STATES]
    for row, state in reversed(tuple(enumerate(STATES))):
        if state.waits < max_waits:
            kept = stable[_INDEX[state.after(same=True)]]
            stable[row] = stays[row] * kept + (1 - stays[row]) * _RIGHT_IF_GIVEN_UP
    labels = [right + wrong for right, wrong in zip(counts.right, counts.wrong, strict=True)]
    expected = sum(share * count for share, count in zip(stable, labels, strict=True))
    shift = shrunk(sum(counts.right) - expected, sum(labels), shift, _SHIFT_LABELS)
    centre = [min(max(share + shift, 0.02), 0.98) for share in stable]
    right = [shrunk(*row, _PRIOR_LABELS) for row in zip(counts.right, labels, centre, strict=True)]
    return right, shift


def _step_tokens(tokens: list[float], steps: list[float], usual: list[float]) -> list[float]:
    """Mean tokens of a Wait by state: of the state, else of its Wait, else of all, else usual."""
    taken = sum(steps)
    means = []
    for row, state in enumerate(STATES):
        peers = [peer for peer, other in enumerate(STATES) if other.waits == state.waits]
        mean = shrunk(sum(tokens), taken, usual[row], 1.0)
        mean = shrunk(sum(tokens[p] for p in peers), sum(steps[p] for p in peers), mean, 1.0)
        means.append(shrunk(tokens[row], steps[row], mean, 2.0))
    return means


def _curve(counts: ExtensionCounts, estimate: _Estimate, max_waits: int) -> ExtensionCurve:
    """Where a chain is after w Waits, whatever its answers: the curve that a fixed w would have."""
    reach = [0.0] * len(STATES)
    reach[0] = 1.0
    steps = [0.0] * (max_waits + 1)
    for row, state in enumerate(STATES):
        if state.waits < max_waits:
            steps[state.waits + 1] += reach[row] * estimate.next_tokens[row]
            stay = reach[row] * estimate.stays[row]
            reach[_INDEX[state.after(same=True)]] += stay
            reach[_INDEX[state.after(same=False)]] += reach[row] - stay
    labels = [
        right + wrong + _PRIOR_LABELS
        for right, wrong in zip(counts.right, counts.wrong, strict=True)
    ]
    accuracy, errors, tokens = [], [], []
    for waits in range(max_waits + 1):
        rows = [row for row, state in enumerate(STATES) if state.waits == waits]
        mean = sum(reach[row] * estimate.right[row] for row in rows)
        within = sum(
            reach[row] ** 2 * estimate.right[row] * (1 - estimate.right[row]) / labels[row]
            for row in rows
        )
        between = sum(reach[row] * (estimate.right[row] - mean) ** 2 for row in rows)
        accuracy.append(mean)
        errors.append(math.sqrt(within + between / (counts.queries + _PRIOR_VISITS)))
        tokens.append(estimate.first_tokens + sum(steps[: waits + 1]))
    return ExtensionCurve(
        tuple(estimate.right),
        tuple(estimate.stays),
        tuple(estimate.next_tokens),
        estimate.first_tokens,
        tuple(accuracy),
        tuple(errors),
        tuple(tokens),
        _chances(counts.repaired, counts.wrong_before),
        _chances(counts.corrupted, counts.right_before),
    )


def _chances(events: list[float], cases: list[float]) -> tuple[float, ...]:
    """Chance of an event by Wait; one in ten before anything is seen (Beta(1, 9))."""
    return tuple(shrunk(*row, 0.1, 10.0) for row in zip(events, cases, strict=True))
