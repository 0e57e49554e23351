"""What has been learned: one curve per model and query class.

A class that has been seen little leans on its model's other classes. Curves are refitted as
observations come in, first after every few, then after every tenth part of what was there.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from policies.curve import ClassCurve, ClassStatistics, Observation, fit

Key = tuple[str, str]
MAX_CLASSES = 1000
OTHER = "other"


class Seen(NamedTuple):
    """One observation of one model's class."""

    model: str
    observation: Observation


class Edition(NamedTuple):
    """The curves that changed since the version that the reader had."""

    version: int
    curves: dict[Key, ClassCurve]


class Book(Protocol):
    """What a controller needs of a curve book, near or far."""

    def curve(self, model: str, query_class: str) -> ClassCurve | None: ...

    def observe(self, seen: Seen) -> None: ...

    async def export(self) -> dict[str, Any]: ...


class CurveBook:
    """`price` is the accuracy per token for which stopping tables are fitted."""

    def __init__(self, price: float) -> None:
        self._price = price
        self._statistics: dict[Key, ClassStatistics] = {}
        self._curves: dict[Key, ClassCurve] = {}
        self._changed_at: dict[Key, int] = {}
        self._unfitted: dict[Key, int] = {}
        self._version = 0

    def curve(self, model: str, query_class: str) -> ClassCurve | None:
        curve = self._curves.get((model, query_class))
        return self._curves.get((model, OTHER)) if curve is None else curve

    def observe(self, seen: Seen) -> None:
        """Count an observation, and refit its class when enough have come in."""
        key = self._key(seen)
        statistics = self._statistics.setdefault(key, ClassStatistics())
        statistics.observe(seen.observation)
        self._unfitted[key] = self._unfitted.get(key, 0) + 1
        if self._unfitted[key] >= max(1.0, 0.1 * statistics.queries):
            self._fit(key)

    def exchange(self, observations: Iterable[Seen], version: int) -> Edition:
        """Take observations in; give back the curves that are newer than `version`."""
        for seen in observations:
            self.observe(seen)
        newer = {key for key, changed in self._changed_at.items() if changed > version}
        return Edition(self._version, {key: self._curves[key] for key in newer})

    async def export(self) -> dict[str, Any]:
        return self.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """The statistics (enough to go on from) and the curves (to read and draw)."""
        classes = [
            {
                "model": model,
                "class": query_class,
                "statistics": statistics.as_dict(),
                "curve": self._curves[model, query_class].as_dict(),
            }
            for (model, query_class), statistics in self._statistics.items()
            if (model, query_class) in self._curves
        ]
        return {"price": self._price, "classes": classes}

    def save(self, path: Path) -> None:
        """Write a snapshot that is either whole or not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(self.as_dict(), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    @classmethod
    def load(cls, path: Path, price: float) -> "CurveBook":
        book = cls(price)
        for line in json.loads(path.read_text(encoding="utf-8"))["classes"]:
            key = (line["model"], line["class"])
            book._statistics[key] = ClassStatistics.from_dict(line["statistics"])
        for key in book._statistics:
            book._fit(key)
        return book

    def _key(self, seen: Seen) -> Key:
        """Callers name their classes: past a bound, new names share one curve."""
        key = (seen.model, seen.observation.query_class)
        full = len(self._statistics) >= MAX_CLASSES and key not in self._statistics
        return (seen.model, OTHER) if full else key

    def _fit(self, key: Key) -> None:
        parent = ClassStatistics()
        for other, statistics in self._statistics.items():
            if other[0] == key[0] and other != key:
                parent.merge(statistics)
        self._curves[key] = fit(self._statistics[key], parent=parent, price=self._price)
        self._version += 1
        self._changed_at[key] = self._version
        self._unfitted[key] = 0
