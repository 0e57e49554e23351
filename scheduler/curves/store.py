"""What has been learned: one curve per model and query class.

A class that has been seen little leans on its model's other classes, and a new model on the one
before it. Curves are refitted as observations come in, first after every few, then after every
tenth part of what was there. The book has one writer; what controllers report is numbered, so that
a report which is sent twice counts once.
"""

import heapq
import logging
import math
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from policies.curves.curve import ClassCurve, ClassStatistics, fit
from policies.curves.drift import KEPT, DriftDetector, fade, inherited
from policies.curves.label import learn
from scheduler.curves.feedback import Feedback, FeedbackResult, Label, PendingFeedback
from scheduler.curves.records import ObservationRecord

log = logging.getLogger("thinkbudget")

ClassKey = tuple[str, str]
VERSION = 5
MAX_CLASSES = 1000
MAX_WRITERS = 1000
OTHER = "other"
_RELATIVES = 32
"""A class leans on so many others of its model, those that were seen most."""
_LATE_FITS = 20
_PRICE_MEMORY = 50.0
_PRICE_STEP = math.log(1.5)
_IDLE = 100_000.0
"""Observations of other classes that make one half as used as it was."""


class Report(NamedTuple):
    """What one controller has seen since its last report; its reports are numbered from 1.

    `answered` are the answers since then that labels may come for.
    """

    writer: str
    number: int
    seen: list[ObservationRecord]
    answered: tuple[PendingFeedback, ...] = ()


class CurveUpdate(NamedTuple):
    """The curves that changed since the version that the reader had.

    Versions are those of one life of the book: a reader with curves of another gets all.
    """

    life: str
    version: int
    curves: dict[ClassKey, ClassCurve]


class CurveSource(Protocol):
    """What a controller needs of a curve store, near or far."""

    def curve(self, model: str, query_class: str) -> ClassCurve | None: ...

    def observe(self, seen: ObservationRecord) -> None: ...

    def remember(self, answered: PendingFeedback) -> None:
        """Keep an answer for its label."""

    async def label(self, label: Label) -> FeedbackResult: ...

    async def export(self) -> dict[str, Any]: ...


@dataclass(slots=True)
class ClassEntry:
    """One class. `log_price` is the mean of late, where its tables are fitted."""

    statistics: ClassStatistics
    log_price: float
    drift: DriftDetector = field(default_factory=DriftDetector)
    used: int = 0
    curve: ClassCurve | None = None
    changed_at: int = 0
    unfitted: int = 0

    @property
    def is_due(self) -> bool:
        """Whether enough came in, or the price went elsewhere, since the last fit."""
        if self.curve is None or self.unfitted >= max(1.0, 0.1 * self.statistics.queries):
            return True
        return abs(self.log_price - math.log(self.curve.price)) > _PRICE_STEP


class CurveStore:
    """`round_tokens` is what one more round of sampling is worth not waiting for."""

    def __init__(self, feedback: Feedback | None = None, *, round_tokens: float = 0.0) -> None:
        self.round_tokens = round_tokens
        self.feedback = feedback or Feedback()
        self._leaves: dict[ClassKey, ClassEntry] = {}
        self._writers: dict[str, int] = {}
        self._models: list[str] = []
        self._life = uuid.uuid4().hex
        self._version = 0
        self._observed = 0

    def curve(self, model: str, query_class: str) -> ClassCurve | None:
        for key in ((model, query_class), (model, OTHER)):
            if key in self._leaves:
                if self._leaves[key].curve is None:
                    self._fit(key)
                return self._leaves[key].curve
        return None

    def observe(self, seen: ObservationRecord) -> None:
        """Count an observation, and refit its class when enough have come in."""
        if not 0 < seen.price < 1:
            raise ValueError(f"price must be in (0, 1), got {seen.price!r}")
        if seen.reward is not None:
            self._learn(seen, seen.reward)
            return
        key = (seen.model, seen.observation.query_class)
        leaf = self._leaves.get(key) or self._create_class(key, seen.price)
        has_changed = leaf.drift.observe(seen.observation)
        if has_changed:
            log.warning("class %r of %s has changed: old statistics count little now", *key[::-1])
            fade(leaf.statistics, KEPT)
        leaf.statistics.observe(seen.observation)
        leaf.log_price += (math.log(seen.price) - leaf.log_price) / _PRICE_MEMORY
        self._observed += 1
        leaf.used = self._observed
        leaf.unfitted += 1
        if has_changed or leaf.is_due:
            fade(leaf.statistics)
            self._fit(key)

    def _learn(self, seen: ObservationRecord, reward: float) -> None:
        """Count a label. It is no sign of a change: a caller could make a class forget by it."""
        keys = [(seen.model, name) for name in (seen.observation.query_class, OTHER)]
        key = next((key for key in keys if key in self._leaves), None)
        if key is None:
            return
        leaf = self._leaves[key]
        learn(leaf.statistics, seen.observation, answer=seen.answer, reward=reward)
        leaf.unfitted += 1
        if leaf.is_due:
            self._fit(key)

    def remember(self, answered: PendingFeedback) -> None:
        self.feedback.remember(answered)

    async def label(self, label: Label) -> FeedbackResult:
        verdict = self.feedback.judge(label)
        if verdict.seen is not None:
            self.observe(verdict.seen)
        return verdict

    def lacks(self, report: Report) -> bool:
        """Whether a report has not been counted yet; a writer's reports come in their order."""
        return report.number > self._writers.get(report.writer, 0)

    def take(self, report: Report) -> None:
        """Count a report, unless it has been.

        What cannot be learned from is left out and logged: it would not get better by coming again.
        """
        if not self.lacks(report):
            return
        for seen in report.seen:
            try:
                self.observe(seen)
            except ValueError as error:
                log.error("an observation of %r was refused: %s", seen.model, error)
        for answered in report.answered:
            self.remember(answered)
        self._writers.pop(report.writer, None)
        self._writers[report.writer] = report.number
        if len(self._writers) > MAX_WRITERS:
            del self._writers[next(iter(self._writers))]

    def edition(self, life: str = "", version: int = 0) -> CurveUpdate:
        """The curves that are newer than a version; after a start they come a few at a time."""
        late = [key for key, leaf in self._leaves.items() if leaf.curve is None]
        for key in heapq.nlargest(_LATE_FITS, late, key=self._queries):
            self._fit(key)
        since = version if life == self._life else 0
        newer = {
            key: leaf.curve
            for key, leaf in self._leaves.items()
            if leaf.curve is not None and leaf.changed_at > since
        }
        return CurveUpdate(self._life, self._version, newer)

    def merge(self, other: "CurveStore") -> None:
        """Take in what another book has seen, as if it had been seen here; no report in both."""
        for key, theirs in other._leaves.items():
            leaf = self._leaves.get(key)
            if leaf is None:
                leaf = self._leaves[key] = ClassEntry(ClassStatistics(), theirs.log_price)
            leaf.statistics.merge(theirs.statistics)
            leaf.curve = None
        self._models += [model for model in other._models if model not in self._models]
        self._observed += other._observed
        while len(self._leaves) > MAX_CLASSES:
            self._fold_least_used()
        for writer, number in other._writers.items():
            self._writers[writer] = max(number, self._writers.get(writer, 0))

    async def export(self) -> dict[str, Any]:
        return self.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """The statistics (enough to go on from) and the curves (to read and draw)."""
        classes = []
        for (model, query_class), leaf in self._leaves.items():
            curve = self.curve(model, query_class)
            classes.append(
                {
                    "model": model,
                    "class": query_class,
                    "statistics": leaf.statistics.as_dict(),
                    "drift": leaf.drift.as_dict(),
                    "log_price": leaf.log_price,
                    "used": leaf.used,
                    "curve": curve.as_dict() if curve else None,
                }
            )
        return {
            "version": VERSION,
            "observed": self._observed,
            "writers": dict(self._writers),
            "models": list(self._models),
            "classes": classes,
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "CurveStore":
        """Curves are fitted when they are asked for."""
        if stored.get("version") != VERSION:
            raise ValueError(f"version must be {VERSION}, got {stored.get('version')!r}")
        book = cls()
        book._observed = stored["observed"]
        book._writers.update(stored["writers"])
        book._models += stored["models"]
        for line in stored["classes"]:
            statistics = ClassStatistics.from_dict(line["statistics"])
            drift = DriftDetector.from_dict(line["drift"])
            leaf = ClassEntry(statistics, line["log_price"], drift, line["used"])
            book._leaves[line["model"], line["class"]] = leaf
        return book

    def _create_class(self, key: ClassKey, price: float) -> ClassEntry:
        """A class that was not there: it begins with little of what the model before knew."""
        model, query_class = key
        if model not in self._models:
            self._models.append(model)
        if len(self._leaves) >= MAX_CLASSES:
            self._fold_least_used()
        before = self._models.index(model) - 1
        old = self._leaves.get((self._models[before], query_class)) if before >= 0 else None
        leaf = ClassEntry(inherited(old.statistics) if old else ClassStatistics(), math.log(price))
        self._leaves[key] = leaf
        return leaf

    def _fold_least_used(self) -> None:
        """Callers name their classes: past a bound, what is used least shares one curve."""
        leaves = [(key, leaf) for key, leaf in self._leaves.items() if key[1] != OTHER]
        key, least = min(leaves, key=lambda item: self._use(item[1]))
        del self._leaves[key]
        rest = self._leaves.setdefault(
            (key[0], OTHER), ClassEntry(ClassStatistics(), least.log_price, used=least.used)
        )
        rest.statistics.merge(least.statistics)
        rest.unfitted += math.ceil(least.statistics.queries)

    def _use(self, leaf: ClassEntry) -> float:
        idle = (self._observed - leaf.used) / _IDLE
        return leaf.statistics.queries * math.pow(0.5, idle)

    def _queries(self, key: ClassKey) -> float:
        return self._leaves[key].statistics.queries

    def _relatives(self, key: ClassKey) -> Iterable[ClassStatistics]:
        others = [other for other in self._leaves if other[0] == key[0] and other != key]
        for other in heapq.nlargest(_RELATIVES, others, key=self._queries):
            yield self._leaves[other].statistics

    def _fit(self, key: ClassKey) -> None:
        parent = ClassStatistics()
        for statistics in self._relatives(key):
            parent.merge(statistics)
        leaf = self._leaves[key]
        leaf.curve = fit(
            leaf.statistics,
            parent=parent,
            price=math.exp(leaf.log_price),
            round_tokens=self.round_tokens,
        )
        self._version += 1
        leaf.changed_at = self._version
        leaf.unfitted = 0
