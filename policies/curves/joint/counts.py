"""What is counted of every setting of a chain: its single chains, and the votes of several."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from policies.curves.exit_statistics import ExitStatistics, ProbeTrajectory
from policies.curves.joint.courses import ChainOutcome, Course
from policies.curves.joint.settings import BY_LEARNED_EXIT, SETTINGS, WHOLE, ChainSetting
from policies.curves.vote_counts import VoteCounts
from policies.curves.vote_types import MAX_VOTES
from policies.tally import VoteStanding

WHOLE_CHAIN = ChainSetting(WHOLE)
IsRight = Callable[[str | None], bool | None]


class ChainSums(NamedTuple):
    """Of single chains under one setting: all, their tokens, those with a label, those right."""

    chains: float = 0.0
    tokens: float = 0.0
    labelled: float = 0.0
    right: float = 0.0

    def plus(self, other: "ChainSums") -> "ChainSums":
        return ChainSums(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, factor: float) -> "ChainSums":
        return ChainSums(*(factor * each for each in self))


@dataclass(slots=True)
class SettingCounts:
    """Of one setting. `votes` counts queries by where the votes of all their chains stood."""

    sums: ChainSums = ChainSums()
    votes: VoteCounts = field(default_factory=VoteCounts)


@dataclass(slots=True)
class JointCounts:
    """Of one class. A query counts under every setting that all of its chains show."""

    by_setting: dict[ChainSetting, SettingCounts] = field(default_factory=dict)
    #: Queries observed.
    queries: float = 0.0
    #: Queries that were explored: more chains, or longer ones, than would have paid.
    explored: float = 0.0
    #: Chains with trial answers, for learned exits.
    exits: ExitStatistics = field(default_factory=ExitStatistics)

    def observe(self, courses: Sequence[Course], truth: IsRight, *, is_exploration: bool) -> None:
        """One query; `truth` says whether an answer is right, None: not known."""
        self.queries += 1.0
        self.explored += is_exploration
        for course in courses:
            if course.probes:
                self._observe_exits(course.trajectory, truth)
        shown = [course.outcomes() for course in courses[:MAX_VOTES]]
        if not shown:
            return
        for setting, first in shown[0].items():
            if all(setting in each for each in shown):
                self._count(setting, [each[setting] for each in shown], truth)
            elif setting.stage > WHOLE and all(WHOLE_CHAIN in each for each in shown):
                # The first chain alone is extended where several are explored.
                self._count(setting, [first], truth)

    def _count(
        self, setting: ChainSetting, outcomes: Sequence[ChainOutcome], truth: IsRight
    ) -> None:
        counts = self.by_setting.get(setting)
        if counts is None:
            counts = self.by_setting[setting] = SettingCounts()
        known = [right for each in outcomes if (right := truth(each.answer)) is not None]
        tokens = sum(each.tokens for each in outcomes)
        counts.sums = counts.sums.plus(ChainSums(len(outcomes), tokens, len(known), sum(known)))
        leader, standing = _standing(each.answer for each in outcomes)
        counts.votes.observe(standing, tokens, truth(leader))

    def _observe_exits(self, trajectory: ProbeTrajectory, truth: IsRight) -> None:
        given = {trajectory.answer, *(probe.answer for probe in trajectory.probes)} - {None}
        known = {answer: truth(answer) for answer in given}
        right = {answer: is_right for answer, is_right in known.items() if is_right is not None}
        self.exits.add(trajectory._replace(right=right))  # type: ignore[arg-type]

    def relabel(self, labelled: Self, blank: Self, weight: float) -> None:
        """Add what a late label shows: `labelled` is its query observed with it, `blank` without.

        Of settings that have been forgotten by now, the label is too.
        """
        self.exits.counts.relabel(labelled.exits.counts, blank.exits.counts, weight)
        for setting, counts in labelled.by_setting.items():
            if own := self.by_setting.get(setting):
                known = ChainSums(labelled=counts.sums.labelled, right=counts.sums.right)
                own.sums = own.sums.plus(known.times(weight))
                own.votes.relabel(counts.votes, weight)

    def merge(self, other: Self) -> None:
        self.queries += other.queries
        self.explored += other.explored
        self.exits.merge(other.exits)
        for setting, counts in other.by_setting.items():
            own = self.by_setting.setdefault(setting, SettingCounts())
            own.sums = own.sums.plus(counts.sums)
            own.votes.merge(counts.votes)

    def scale(self, factor: float) -> None:
        self.queries *= factor
        self.explored *= factor
        self.exits.scale(factor)
        for counts in self.by_setting.values():
            counts.sums = counts.sums.times(factor)
            counts.votes.scale(factor)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [
            [*setting, [*counts.sums], counts.votes.as_rows()]
            for setting, counts in sorted(self.by_setting.items())
        ]
        sums = {"queries": self.queries, "explored": self.explored}
        return {**sums, "exits": self.exits.as_dict(), "settings": rows}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        by_setting = {}
        for stage, row, sums, votes in stored["settings"]:
            setting = ChainSetting(stage, row)
            kept = ChainSums(*map(float, sums))
            if setting not in (*SETTINGS, BY_LEARNED_EXIT) or not all(
                0 <= each < math.inf for each in kept
            ):
                raise ValueError(f"settings must have finite sums, got {[stage, row, sums]!r}")
            by_setting[setting] = SettingCounts(kept, VoteCounts.from_rows(votes))
        exits = ExitStatistics.from_dict(stored["exits"])
        return cls(by_setting, float(stored["queries"]), float(stored["explored"]), exits)


def _standing(answers: Iterable[str | None]) -> tuple[str | None, VoteStanding]:
    """Who leads, and by how much. A chain without an answer stands alone, and never leads."""
    counts: dict[str, int] = {}
    silent = 0
    for answer in answers:
        if answer is None:
            silent += 1
        else:
            counts[answer] = counts.get(answer, 0) + 1
    if not counts:
        return None, VoteStanding(1, min(1, silent - 1), max(0, silent - 2))
    leader = max(counts, key=counts.__getitem__)
    first, *others = sorted(counts.values(), reverse=True) + [1] * silent
    others.sort(reverse=True)
    return leader, VoteStanding(first, others[0] if others else 0, sum(others[1:]))
