"""A controller's copy of the curves, and what it has yet to tell the book.

While the book is away, the copy serves on with what it has. A report that was not confirmed is sent
again, the same under the same number, so it counts once whether or not it had arrived.
"""

import asyncio
import logging
import uuid
from collections import deque
from typing import Any, Protocol

from policies.curves.curve import ClassCurve
from scheduler.curves.feedback import FeedbackResult, Label, PendingFeedback
from scheduler.curves.records import ObservationRecord
from scheduler.curves.store import MAX_CLASSES, OTHER, ClassKey, CurveUpdate, Report

log = logging.getLogger("thinkbudget")

MAX_SPOOLED = 100_000
MAX_REPORTED = 1000
"""Observations of one report: a book that comes back is not to be buried."""


class SharedCurveStore(Protocol):
    """The one book, in another process. Raises when it cannot be reached."""

    async def exchange(self, report: Report, life: str, version: int) -> CurveUpdate: ...

    async def label(self, label: Label) -> FeedbackResult: ...

    async def export(self) -> dict[str, Any]: ...


class CurveCache:
    def __init__(self, far: SharedCurveStore) -> None:
        self._far = far
        self._curves: dict[ClassKey, ClassCurve] = {}
        self._life, self._version = "", 0
        self._spool: list[ObservationRecord] = []
        self._answered: deque[PendingFeedback] = deque(maxlen=MAX_REPORTED)
        self._report = Report(uuid.uuid4().hex, 0, [])
        self.is_confirmed = True
        self.dropped = 0
        self._exchanging = asyncio.Lock()

    def curve(self, model: str, query_class: str) -> ClassCurve | None:
        curve = self._curves.get((model, query_class))
        return self._curves.get((model, OTHER)) if curve is None else curve

    def observe(self, seen: ObservationRecord) -> None:
        if len(self._spool) < MAX_SPOOLED:
            self._spool.append(seen)
        else:
            self.dropped += 1

    def remember(self, answered: PendingFeedback) -> None:
        """While the book is away only the latest are kept: labels for the others are refused."""
        self._answered.append(answered)

    async def label(self, label: Label) -> FeedbackResult:
        """What the label is of may not have been reported yet: that goes first."""
        while not self.is_confirmed or self._spool or self._answered:
            await self.exchange()
        return await self._far.label(label)

    async def export(self) -> dict[str, Any]:
        return await self._far.export()

    async def exchange(self) -> None:
        """Report what was seen, and take newer curves; raises what the book raises."""
        async with self._exchanging:
            await self._exchange()

    async def _exchange(self) -> None:
        if self.is_confirmed:
            seen, self._spool = self._spool[:MAX_REPORTED], self._spool[MAX_REPORTED:]
            answered = tuple(self._answered)
            self._answered.clear()
            self._report = Report(self._report.writer, self._report.number + 1, seen, answered)
            self.is_confirmed = False
        edition = await self._far.exchange(self._report, self._life, self._version)
        self.is_confirmed = True
        if len(self._curves) > 2 * MAX_CLASSES:
            # Nobody tells of classes that were folded: begin anew, with all that is still there.
            self._curves, self._life = {}, ""
            return
        self._curves.update(edition.curves)
        self._life, self._version = edition.life, edition.version
