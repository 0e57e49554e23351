"""What is counted of greedy chains that were extended, step by step.

A chain shows an answer at every end. Its state is how many extensions it has had and how many equal
answers it gave in a row. A run of w extensions shows what every smaller number would have given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from policies.curves.counts import Counts
from policies.tally import Vote

MAX_EXTENSIONS = 6
MOVES = RIGHT_KEPT, SPOILT, WRONG_KEPT, STILL_WRONG, REPAIRED = range(5)
"""What one extension did to a labelled answer."""
CHANGES = SPOILT, STILL_WRONG, REPAIRED


class AnswerState(NamedTuple):
    """`run` counts equal answers in a row, the last one included."""

    extensions: int
    run: int

    def after(self, *, same: bool) -> "AnswerState":
        return AnswerState(self.extensions + 1, self.run + 1 if same else 1)


STATES = tuple(
    AnswerState(extensions, run)
    for extensions in range(MAX_EXTENSIONS + 1)
    for run in range(1, extensions + 2)
)
INDEX = {state: row for row, state in enumerate(STATES)}
PATTERNS = (2 << MAX_EXTENSIONS) - 1
"""Of which extensions changed the answer, in chains of all lengths."""


def states(answers: Sequence[str | None], *, forced: int = 0) -> Iterator[AnswerState]:
    """The states that a chain went through: one answer for each end, in order.

    `forced` are the extensions before the first end that anybody saw.
    """
    state = AnswerState(min(forced, MAX_EXTENSIONS), 1)
    for place, answer in enumerate(answers[: MAX_EXTENSIONS - state.extensions + 1]):
        if place:
            state = state.after(same=answer == answers[place - 1])
        yield state


def last_state(ends: Sequence[Vote]) -> AnswerState:
    """That of a chain with these ends, in order."""
    *_, state = states([end.answer for end in ends], forced=ends[0].extensions)
    return state


def pattern(changes: Sequence[bool]) -> int:
    """The number of a pattern: those of equal lengths are together, as binary numbers."""
    number = 0
    for change in changes:
        number = 2 * number + change
    return (1 << len(changes)) - 1 + number


def _row() -> list[float]:
    return [0.0] * len(STATES)


@dataclass(slots=True)
class ExtensionCounts(Counts):
    """Counts of greedy chains. Rows by state have the order of `STATES`."""

    #: By state: chains that reached it.
    visits: list[float] = field(default_factory=_row)
    #: By state: answers labelled right.
    right: list[float] = field(default_factory=_row)
    #: By state: answers labelled wrong.
    wrong: list[float] = field(default_factory=_row)
    #: By state: next extensions that kept the answer.
    stays: list[float] = field(default_factory=_row)
    #: By state: next extensions that changed the answer.
    flips: list[float] = field(default_factory=_row)
    #: By state: tokens of the next extensions together.
    tokens: list[float] = field(default_factory=_row)
    #: One number: tokens of all first answers, thinking included.
    first_tokens: list[float] = field(default_factory=lambda: [0.0])
    #: One number: chains whose first answer was labelled.
    labelled: list[float] = field(default_factory=lambda: [0.0])
    #: By pattern of changes (`pattern`): chains without a label at each end.
    patterns: list[float] = field(default_factory=lambda: [0.0] * PATTERNS)
    #: By extension and move (`MOVES`), row-major: extensions between two labelled answers.
    moves: list[float] = field(default_factory=lambda: [0.0] * (MAX_EXTENSIONS * len(MOVES)))

    def observe(self, votes: Sequence[Vote], right: Sequence[bool | None]) -> None:
        """One greedy chain that ended by itself: its answers from 0 extensions on, none missing."""
        passed = [*states([vote.answer for vote in votes])]
        rows = [INDEX[state] for state in passed]
        changes = [state.run == 1 for state in passed[1:]]
        right = right[: len(rows)]
        self.first_tokens[0] += votes[0].tokens
        self.labelled[0] += right[0] is not None
        for row, known in zip(rows, right, strict=True):
            self.visits[row] += 1.0
            if known is not None:
                (self.right if known else self.wrong)[row] += 1.0
        for wait, (row, change) in enumerate(zip(rows, changes, strict=False)):
            (self.flips if change else self.stays)[row] += 1.0
            self.tokens[row] += votes[wait + 1].tokens - votes[wait].tokens
        if None in right:
            self.patterns[pattern(changes)] += 1.0
            return
        for wait, change in enumerate(changes):
            move = _move(change, bool(right[wait]), bool(right[wait + 1]))
            self.moves[wait * len(MOVES) + move] += 1.0

    @property
    def queries(self) -> float:
        return self.visits[0]


def _move(change: bool, before: bool, after: bool) -> int:
    if before:
        return SPOILT if change else RIGHT_KEPT
    if not change:
        return WRONG_KEPT
    return REPAIRED if after else STILL_WRONG
