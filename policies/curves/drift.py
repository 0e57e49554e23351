"""When what was learned of a class no longer holds.

Old queries decay slowly. Sudden changes are looked for in signals that no policy can move: whether
the first chain is right, how long it thought, and whether the second answer is equal to the first.
A class that has changed keeps its old statistics with little weight; a new model starts likewise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from policies.curves.class_statistics import ClassStatistics
from policies.curves.observation import Observation
from policies.curves.plans.counts import courses_of
from policies.signals import Probe

MAX_QUERIES = 5000.0
"""Queries that all statistics of a class count as at most: older ones decay."""
QUERIES_AFTER_DRIFT = 10.0
"""Queries that old statistics count as, once a class has changed or a new model has come. With 30,
ways to spend that are not used any more keep their old figures for too long.
"""

_PER_LEVEL = 5
_CHECK_EVERY = 16
_LEAST_SIDE = 10
_CONFIDENCE = 1e-2
_OCTAVES = 16.0


def decay(statistics: ClassStatistics, queries: float = MAX_QUERIES) -> None:
    """Let what was seen count as so many queries at most."""
    if statistics.queries > queries:
        statistics.scale(queries / statistics.queries)


def warm_start(predecessor: ClassStatistics) -> ClassStatistics:
    """What a new model's class starts from: its predecessor's curve with little weight."""
    heir = ClassStatistics()
    heir.merge(predecessor)
    heir.served.clear()
    decay(heir, QUERIES_AFTER_DRIFT)
    return heir


@dataclass(slots=True)
class Adwin:
    """The mean of values in [0, 1] since it last changed: ADWIN (Bifet and Gavalda, SDM 2007).

    `levels[k]` holds the sums and sums of squares of 2^k values each, oldest first; the oldest of
    all are at the highest level, so n values take O(log n) buckets. A cut whose two sides differ by
    more than Bernstein's bound drops the older side.
    """

    levels: list[list[list[float]]] = field(default_factory=lambda: [[]])
    unchecked: int = 0

    def add(self, value: float) -> bool:
        """Whether the mean has changed. Looks every few values only."""
        if not 0 <= value <= 1:
            raise ValueError(f"value must be in [0, 1], got {value!r}")
        bucket, level = [value, value * value], 0
        self.levels[0].append(bucket)
        while len(self.levels[level]) > _PER_LEVEL:
            older, newer = self.levels[level].pop(0), self.levels[level].pop(0)
            level += 1
            if level == len(self.levels):
                self.levels.append([])
            self.levels[level].append([older[0] + newer[0], older[1] + newer[1]])
        self.unchecked += 1
        if self.unchecked < _CHECK_EVERY:
            return False
        self.unchecked = 0
        return self._cut()

    @property
    def count(self) -> int:
        return sum(len(buckets) << level for level, buckets in enumerate(self.levels))

    @property
    def mean(self) -> float:
        return sum(bucket[0] for level in self.levels for bucket in level) / max(1, self.count)

    def _cut(self) -> bool:
        """Drop what came before the newest place where the mean was another, if there is one."""
        newest_first = [
            (level, place)
            for level, buckets in enumerate(self.levels)
            for place in reversed(range(len(buckets)))
        ]
        total = self.count
        if total < 2 * _LEAST_SIDE:
            return False
        sums, squares = (
            sum(bucket[part] for level in self.levels for bucket in level) for part in (0, 1)
        )
        variance = max(0.0, squares / total - (sums / total) ** 2)
        surprise = math.log(2 * math.log(total) / _CONFIDENCE)
        after, seen = 0, 0.0
        for level, place in newest_first:
            after += 1 << level
            seen += self.levels[level][place][0]
            before = total - after
            if before < _LEAST_SIDE:
                return False
            if after < _LEAST_SIDE:
                continue
            size = 1 / (1 / before + 1 / after)
            bound = math.sqrt(2 / size * variance * surprise) + 2 / (3 * size) * surprise
            if abs(seen / after - (sums - seen) / before) > bound:
                del self.levels[level][:place]
                del self.levels[level + 1 :]
                return True
        return False


@dataclass(slots=True)
class DriftDetector:
    """Windows by signal; greedy and sampled chains have windows of their own."""

    windows: dict[str, Adwin] = field(default_factory=dict)

    def observe(self, observation: Observation) -> bool:
        """Whether the class has changed; then all windows begin anew."""
        changed = [
            self.windows.setdefault(signal, Adwin()).add(value)
            for signal, value in _signals(observation).items()
        ]
        if any(changed):
            self.windows.clear()
        return any(changed)

    def as_dict(self) -> dict[str, Any]:
        return {name: [w.unchecked, *w.levels] for name, w in self.windows.items()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        return cls({name: Adwin(rows[1:], rows[0]) for name, rows in stored.items()})


def _signals(observation: Observation) -> dict[str, float]:
    """Values in [0, 1], of the chain that began first, and whether the second agrees with it.

    Nothing of a chain that was cut short: its cap decided. Of one that may have been concluded only
    its first trial answer counts. Chains that are forced on have windows of their own, as long as
    they are not extended further.
    """
    setting = observation.setting
    courses = courses_of(observation.history, observation.probes, setting)
    if not courses:
        return {}
    first = courses[0].ends[0]
    signals = _first_trial(observation, courses[0].probes)
    if setting.kind == "exit" or observation.is_cut(first) or not first.ended_by_itself:
        return signals
    if setting.kind == "extend" and first.extensions:
        return signals
    kind = "greedy" if observation.temperature == 0 else "sampled"
    if setting.forced:
        kind = f"{kind} {setting}"
    signals[f"{kind} length"] = min(1.0, math.log2(max(1, first.thinking_tokens)) / _OCTAVES)
    if (right := observation.truth(first.answer)) is not None:
        signals[f"{kind} right"] = float(right)
    # `priced` draws a second chain by what the first shows: whether they agree tells of that.
    if len(courses) > 1 and (observation.plan is None or observation.plan.setting is None):
        signals[f"{kind} same"] = float(courses[1].ends[0].answer == first.answer)
    return signals


def _first_trial(observation: Observation, probes: Sequence[Probe]) -> dict[str, float]:
    if not probes:
        return {}
    first = probes[0]
    signals = {"trial sure": first.probability}
    if (right := observation.truth(first.answer)) is not None:
        signals["trial right"] = float(right)
    return signals
