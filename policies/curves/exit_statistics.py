"""What is counted of chains that were asked for trial answers on their way.

A chain's state is how far it has thought (half octaves of tokens), how sure it was of its last
trial answer, and how many trials in a row gave that answer. Observing adds, merging adds,
forgetting scales. A chain that is concluded early needs no correction: what comes after a state
does not depend on the rule that brought it there.
"""

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Self

from policies.curves.counts import Counts
from policies.plan import check_number
from policies.signals import Probe

POSITIONS = tuple(round(2 ** (half / 2)) for half in range(12, 33))
"""Where a chain is asked for trial answers, in thinking tokens: 64, 91, 128, ... 65536."""

SURENESS = (0.3, 0.9, 0.99)
"""Probabilities of a trial answer that separate one level from the next."""

MAX_RUN = 3
SHAPE = (len(POSITIONS), len(SURENESS) + 1, MAX_RUN)
"""States by step, level of sureness and run of equal answers."""

STATES = math.prod(SHAPE)
START = STATES
"""The row of chains that have not been tried yet."""

VERSION = 2
_MOST_TOKENS = 1e9


class ExitState(NamedTuple):
    step: int
    sureness: int
    run: int

    @property
    def row(self) -> int:
        return (self.step * SHAPE[1] + self.sureness) * MAX_RUN + self.run - 1


class TrialAnswer(NamedTuple):
    state: ExitState
    probe: Probe


def trials(probes: Sequence[Probe]) -> Iterator[TrialAnswer]:
    """The states that a chain went through; of several trials within one step the first counts."""
    step, run, answer = -1, 0, None
    for probe in probes:
        here = max(0, bisect.bisect_right(POSITIONS, probe.thinking_tokens) - 1)
        if here <= step:
            continue
        is_same = probe.answer is not None and probe.answer == answer
        run = min(run + 1, MAX_RUN) if is_same else 1
        step, answer = here, probe.answer
        yield TrialAnswer(
            ExitState(step, bisect.bisect_right(SURENESS, probe.probability), run), probe
        )


class ProbeTrajectory(NamedTuple):
    """One chain with trial answers, as far as it went."""

    #: Its trial answers, in order.
    probes: Sequence[Probe]
    #: Tokens that it thought.
    thinking_tokens: int
    #: Its final answer; None where it gave none.
    answer: str | None
    #: Whether a rule ended it.
    concluded: bool
    #: Whether no rule could have ended it.
    is_whole: bool
    #: Tokens of one trial.
    trial_tokens: float
    #: Whether each labelled answer is right; empty without a label.
    right: Mapping[str, bool]

    def truth(self, answer: str | None) -> bool | None:
        """Whether an answer is right; no answer at all is wrong as soon as any label is known."""
        if answer is None:
            return False if self.right else None
        return self.right.get(answer)

    def check(self) -> None:
        check_number("thinking_tokens", self.thinking_tokens, at_least=0, at_most=_MOST_TOKENS)
        check_number("trial_tokens", self.trial_tokens, at_least=0, at_most=_MOST_TOKENS)
        before = 0
        for probe in self.probes:
            check_number("probability", probe.probability, at_least=0, at_most=1)
            check_number("thinking_tokens", probe.thinking_tokens, at_least=before)
            before = probe.thinking_tokens
        if before > self.thinking_tokens:
            raise ValueError(f"thinking_tokens must be at least {before}, the last trial's")


def _row() -> list[float]:
    return [0.0] * (STATES + 1)


@dataclass(slots=True)
class ExitCounts(Counts):
    """Counts of chains with trial answers.

    Rows by state have the order of `ExitState.row`; the last, `START`, is before the first trial.
    """

    #: By state: trials labelled right.
    right: list[float] = field(default_factory=_row)
    #: By state: trials labelled wrong.
    wrong: list[float] = field(default_factory=_row)
    #: By state: trials of whole chains that gave the final answer.
    agreed: list[float] = field(default_factory=_row)
    #: By state: trials of whole chains that gave another answer.
    differed: list[float] = field(default_factory=_row)
    #: By state: tokens until the next trial, with those of the trial, of all chains together.
    next_tokens: list[float] = field(default_factory=_row)
    #: By state: chains that ended by themselves before another trial.
    ended: list[float] = field(default_factory=_row)
    #: By state: their thinking tokens since the last trial together.
    end_tokens: list[float] = field(default_factory=_row)
    #: By state: of them right by a label.
    end_right: list[float] = field(default_factory=_row)
    #: By state: of them wrong by a label.
    end_wrong: list[float] = field(default_factory=_row)
    #: Trials of labelled whole chains: differed and wrong, differed and right, agreed and wrong,
    #: agreed and right.
    known: list[float] = field(default_factory=lambda: [0.0] * 4)
    #: One number: chains.
    queries: list[float] = field(default_factory=lambda: [0.0])
    #: One number: chains that no rule could have concluded.
    whole: list[float] = field(default_factory=lambda: [0.0])
    #: Trials, and their tokens together.
    trials: list[float] = field(default_factory=lambda: [0.0, 0.0])


@dataclass(slots=True)
class ExitStatistics:
    """All that is kept of one class. `onward` counts, by state and next state, chains seen."""

    counts: ExitCounts = field(default_factory=ExitCounts)
    onward: dict[tuple[int, int], float] = field(default_factory=dict)

    @property
    def queries(self) -> float:
        return self.counts.queries[0]

    @property
    def whole(self) -> float:
        return self.counts.whole[0]

    @property
    def trial_tokens(self) -> float:
        """Of a mean trial."""
        number, tokens = self.counts.trials
        return tokens / number if number else 0.0

    def add(self, trajectory: ProbeTrajectory) -> None:
        trajectory.check()
        counts = self.counts
        counts.queries[0] += 1.0
        counts.whole[0] += trajectory.is_whole
        row, tokens = START, 0
        for state, probe in trials(trajectory.probes):
            self._count(row, state.row, 1.0)
            counts.next_tokens[row] += probe.thinking_tokens - tokens + trajectory.trial_tokens
            counts.trials[0] += 1.0
            counts.trials[1] += trajectory.trial_tokens
            row, tokens = state.row, probe.thinking_tokens
            truth = trajectory.truth(probe.answer)
            if truth is not None:
                (counts.right if truth else counts.wrong)[row] += 1.0
            if trajectory.is_whole and not trajectory.concluded:
                agrees = probe.answer is not None and probe.answer == trajectory.answer
                (counts.agreed if agrees else counts.differed)[row] += 1.0
                if truth is not None:
                    counts.known[2 * agrees + truth] += 1.0
        if trajectory.concluded:
            return
        counts.ended[row] += 1.0
        counts.end_tokens[row] += trajectory.thinking_tokens - tokens
        truth = trajectory.truth(trajectory.answer)
        if truth is not None:
            (counts.end_right if truth else counts.end_wrong)[row] += 1.0

    def merge(self, other: Self) -> None:
        self.counts.merge(other.counts)
        for (row, after), count in other.onward.items():
            self._count(row, after, count)

    def scale(self, factor: float) -> None:
        """Forget: what was seen counts `factor` times as much."""
        check_number("factor", factor, at_least=0, at_most=1)
        self.counts.scale(factor)
        self.onward = {key: count * factor for key, count in self.onward.items()}

    def _count(self, row: int, after: int, count: float) -> None:
        self.onward[row, after] = self.onward.get((row, after), 0.0) + count

    def as_dict(self) -> dict[str, Any]:
        onward = [[*key, count] for key, count in sorted(self.onward.items())]
        return {"version": VERSION, "counts": asdict(self.counts), "onward": onward}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        if stored.get("version") != VERSION:
            raise ValueError(f"version must be {VERSION}, got {stored.get('version')!r}")
        counts = ExitCounts.from_rows(stored["counts"])
        for name, row in counts.rows().items():
            if not all(0 <= count < math.inf for count in row):
                raise ValueError(f"{name} must be finite and not negative, got {row!r}")
        onward = {}
        for row, after, count in stored["onward"]:
            if not (0 <= row <= START and 0 <= after < STATES and 0 <= count < math.inf):
                raise ValueError(f"onward must count between states, got {[row, after, count]!r}")
            onward[int(row), int(after)] = float(count)
        return cls(counts, onward)
