"""What has been learned: one curve per model and query class.

A class with few observations is shrunk towards its model's other classes, and a new model's class
starts from that of the model before it. Curves are refitted as observations come in: first after
every few, then whenever the class has grown by a tenth; where a `Pace` is given, as much of that as
it allows, those first that have grown most. The store has one writer. The reports of gateways are
numbered, so that a report which is sent twice counts once.
"""

import heapq
import logging
import math
import uuid
from collections.abc import Iterator
from typing import Any

from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import ClassCurve, fit
from policies.curves.drift import QUERIES_AFTER_DRIFT, DriftDetector, decay, warm_start
from policies.curves.label import learn
from scheduler.curves.class_entry import ClassEntry
from scheduler.curves.exchange import ClassKey, CurveUpdate, PackedUpdate, Report
from scheduler.curves.pace import Pace
from scheduler.curves.packing import pack
from scheduler.curves.parents import Parents
from scheduler.curves.records import LabelRecord, ObservationRecord, Record

log = logging.getLogger("thinkbudget")

VERSION = 5
MAX_CLASSES = 1000
MAX_WRITERS = 1000
OTHER = "other"
_LATE_FITS = 20
_PRICE_MEMORY = 50.0
_IDLE = 100_000.0
"""Observations of other classes that make one half as used as it was."""


class CurveStore:
    """One curve per model and class. `round_tokens` is the price of one more round, in tokens.

    With a `pace` nothing is fitted where it is counted, but by `update`, in the time that the pace
    allows: counting goes on at its own rate however many classes there are.
    """

    def __init__(self, *, round_tokens: float = 0.0, pace: Pace | None = None) -> None:
        self.round_tokens = round_tokens
        self.pace = pace
        self.entries: dict[ClassKey, ClassEntry] = {}
        #: Classes that have a curve, the one that was fitted last at the end.
        self._fitted: dict[ClassKey, None] = {}
        #: Classes that are to be fitted by `update`.
        self._due: set[ClassKey] = set()
        self._parents = Parents(
            lambda key: self.entries[key].statistics, self.entries, self._queries
        )
        self._writers: dict[str, int] = {}
        self._models: list[str] = []
        self._epoch = uuid.uuid4().hex
        self._version = 0
        self._observed = 0

    def curve(self, model: str, query_class: str) -> ClassCurve | None:
        for key in ((model, query_class), (model, OTHER)):
            if key in self.entries:
                if self.entries[key].curve is None:
                    self._fit(key)
                return self.entries[key].curve
        return None

    def sizes(self, model: str) -> dict[str, float]:
        """The queries of every class of a model."""
        return {name: self._queries((of, name)) for of, name in self.entries if of == model}

    def observe(self, record: ObservationRecord) -> None:
        """Count an observation, and refit its class when enough have come in.

        Raises ValueError for a price outside (0, 1).
        """
        if not 0 < record.price < 1:
            raise ValueError(f"price must be in (0, 1), got {record.price!r}")
        key = (record.model, record.observation.query_class)
        entry = self.entries.get(key) or self._create_class(key, record.price)
        has_changed = entry.drift.observe(record.observation)
        if has_changed:
            log.warning("class %r of %s has changed: old statistics count little now", *key[::-1])
            decay(entry.statistics, QUERIES_AFTER_DRIFT)
        entry.statistics.observe(record.observation)
        entry.log_price += (math.log(record.price) - entry.log_price) / _PRICE_MEMORY
        self._observed += 1
        entry.used = self._observed
        entry.unfitted += 1
        if has_changed or entry.is_due:
            decay(entry.statistics)
            self._fit_in_time(key)

    def reprice(self, price: float) -> None:
        """Fit every class anew round another price: a job's price falls by its own plan."""
        for key, entry in self.entries.items():
            entry.log_price = math.log(price)
            self._fit(key)

    def learn(self, record: LabelRecord) -> None:
        """Count a label. It is no sign of drift: a caller could make a class forget by it."""
        keys = [(record.model, name) for name in (record.observation.query_class, OTHER)]
        key = next((key for key in keys if key in self.entries), None)
        if key is None:
            return
        entry = self.entries[key]
        learn(entry.statistics, record.observation, answer=record.answer, reward=record.reward)
        entry.unfitted += 1
        if entry.is_due:
            self._fit_in_time(key)

    def count(self, record: Record) -> None:
        """Count an observation or a label.

        A record that cannot be learned from is logged and left out: sending it again would not
        help.
        """
        try:
            if isinstance(record, LabelRecord):
                self.learn(record)
            else:
                self.observe(record)
        except ValueError as error:
            log.error("an observation of %r was refused: %s", record.model, error)

    def lacks(self, report: Report) -> bool:
        """Whether a report has not been counted yet; a writer's reports come in their order."""
        return report.number > self._writers.get(report.writer, 0)

    def take(self, report: Report) -> None:
        """Count the records of a report, unless the report has been counted."""
        if not self.lacks(report):
            return
        for record in report.records:
            self.count(record)
        self._writers.pop(report.writer, None)
        self._writers[report.writer] = report.number
        if len(self._writers) > MAX_WRITERS:
            del self._writers[next(iter(self._writers))]

    def update(self, epoch: str = "", version: int = 0) -> CurveUpdate:
        """The curves that are newer than a version; after a start they come a few at a time."""
        self._fit_due()
        newer = dict(self._newer(version if epoch == self._epoch else 0))
        return CurveUpdate(self._epoch, self._version, newer)

    def packed_update(self, epoch: str, version: int) -> PackedUpdate:
        """The same as it goes to another process."""
        update = self.update(epoch, version)
        return PackedUpdate(
            update.epoch, update.version, {key: self._packed(key) for key in update.curves}
        )

    def _packed(self, key: ClassKey) -> bytes:
        entry = self.entries[key]
        if entry.packed is None:
            assert entry.curve is not None
            entry.packed = pack(entry.curve)
        return entry.packed

    def _newer(self, since: int) -> Iterator[tuple[ClassKey, ClassCurve]]:
        for key in reversed(self._fitted):
            entry = self.entries[key]
            if entry.changed_at <= since:
                return
            assert entry.curve is not None
            yield key, entry.curve

    def merge(self, other: "CurveStore") -> None:
        """Add another store's statistics, as if observed here. No report may be in both."""
        for key, theirs in other.entries.items():
            entry = self.entries.get(key)
            if entry is None:
                entry = self.entries[key] = ClassEntry(ClassStatistics(), theirs.log_price)
            entry.statistics.merge(theirs.statistics)
            self._outdate(key)
        self._models += [model for model in other._models if model not in self._models]
        self._observed += other._observed
        self._parents.forget()
        while len(self.entries) > MAX_CLASSES:
            self._fold_least_used()
        for writer, number in other._writers.items():
            self._writers[writer] = max(number, self._writers.get(writer, 0))

    def as_dict(self) -> dict[str, Any]:
        """The statistics (enough to go on from) and the curves (to read and draw)."""
        classes = []
        for (model, query_class), entry in self.entries.items():
            # With a pace, curves come as time allows: a thousand at once would take a minute.
            curve = entry.curve if self.pace else self.curve(model, query_class)
            classes.append(
                {
                    "model": model,
                    "class": query_class,
                    "statistics": entry.statistics.as_dict(),
                    "drift": entry.drift.as_dict(),
                    "log_price": entry.log_price,
                    "used": entry.used,
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
        store = cls()
        store._observed = stored["observed"]
        store._writers.update(stored["writers"])
        store._models += stored["models"]
        for line in stored["classes"]:
            statistics = ClassStatistics.from_dict(line["statistics"])
            drift = DriftDetector.from_dict(line["drift"])
            entry = ClassEntry(statistics, line["log_price"], drift, line["used"])
            store.entries[line["model"], line["class"]] = entry
        store._due.update(store.entries)
        return store

    def _create_class(self, key: ClassKey, price: float) -> ClassEntry:
        """A class that was not there: it begins with little of what the model before knew."""
        model, query_class = key
        if model not in self._models:
            self._models.append(model)
        if len(self.entries) >= MAX_CLASSES:
            self._fold_least_used()
        before = self._models.index(model) - 1
        old = self.entries.get((self._models[before], query_class)) if before >= 0 else None
        entry = ClassEntry(
            warm_start(old.statistics) if old else ClassStatistics(), math.log(price)
        )
        self.entries[key] = entry
        return entry

    def _fold_least_used(self) -> None:
        """Callers name their classes: past a bound, what is used least shares one curve."""
        entries = [(key, entry) for key, entry in self.entries.items() if key[1] != OTHER]
        key, least = min(entries, key=lambda item: self._use(item[1]))
        del self.entries[key]
        self._outdate(key)
        self._due.discard(key)
        self._parents.forget()
        rest = self.entries.setdefault(
            (key[0], OTHER), ClassEntry(ClassStatistics(), least.log_price, used=least.used)
        )
        rest.statistics.merge(least.statistics)
        rest.unfitted += math.ceil(least.statistics.queries)
        if rest.curve is None:
            self._due.add((key[0], OTHER))

    def _use(self, entry: ClassEntry) -> float:
        idle = (self._observed - entry.used) / _IDLE
        return entry.statistics.queries * math.pow(0.5, idle)

    def _queries(self, key: ClassKey) -> float:
        return self.entries[key].statistics.queries

    def _outdate(self, key: ClassKey) -> None:
        """What was fitted of a class does not hold any more."""
        self._fitted.pop(key, None)
        if key in self.entries:
            self.entries[key].curve = None
            self._due.add(key)

    def _fit_in_time(self, key: ClassKey) -> None:
        if self.pace is None:
            self._fit(key)
        else:
            self._due.add(key)

    def _fit_due(self) -> None:
        if self.pace is None:
            for key in heapq.nlargest(_LATE_FITS, self._due, key=self._queries):
                self._fit(key)
            return
        while self._due and self.pace.allows:
            with self.pace.working():
                self._fit(max(self._due, key=lambda key: self.entries[key].urgency))

    def _fit(self, key: ClassKey) -> None:
        entry = self.entries[key]
        entry.curve = fit(
            entry.statistics,
            parent=self._parents.of(key, self._observed),
            price=math.exp(entry.log_price),
            round_tokens=self.round_tokens,
        )
        entry.packed = None
        self._version += 1
        entry.changed_at = self._version
        entry.unfitted = 0
        self._due.discard(key)
        self._fitted.pop(key, None)
        self._fitted[key] = None
