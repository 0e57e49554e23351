"""A gateway's cache of the curves, and what it has yet to report to the curve store.

While the curve store is away, the cache serves the curves that it has. A report that was not
confirmed is sent again under the same number, so that it counts once whether or not it had arrived.
"""

import asyncio
import logging
import uuid
from collections import deque
from typing import Any

from policies.curves.curve import ClassCurve
from scheduler.curves.exchange import ClassKey, Report, SharedCurveStore
from scheduler.curves.feedback import FeedbackResult, Label, PendingFeedback
from scheduler.curves.packing import unpack
from scheduler.curves.records import ObservationRecord
from scheduler.curves.store import MAX_CLASSES, OTHER

log = logging.getLogger("thinkbudget")

EXCHANGE_SECONDS = 0.25
MAX_SPOOLED = 100_000
# Observations of one report: a store that comes back is not flooded.
MAX_REPORTED = 1000


class CurveCache:
    """A `CurveSource` in front of the shared store. `exchange` is to be called regularly."""

    def __init__(self, shared: SharedCurveStore) -> None:
        self._shared = shared
        self._curves: dict[ClassKey, ClassCurve] = {}
        self._epoch, self._version = "", 0
        self._spool: list[ObservationRecord] = []
        self._answered: deque[PendingFeedback] = deque(maxlen=MAX_REPORTED)
        self._report = Report(uuid.uuid4().hex, 0, [])
        #: Whether the store has confirmed the last report.
        self.is_confirmed = True
        #: Observations that were lost because the spool was full.
        self.dropped = 0
        self._exchanging = asyncio.Lock()

    def curve(self, model: str, query_class: str) -> ClassCurve | None:
        curve = self._curves.get((model, query_class))
        return self._curves.get((model, OTHER)) if curve is None else curve

    def sizes(self, model: str) -> dict[str, float]:
        return {name: curve.queries for (of, name), curve in self._curves.items() if of == model}

    @property
    def count(self) -> int:
        """Classes of which the cache has a curve."""
        return len(self._curves)

    @property
    def waiting(self) -> int:
        """Observations that the store has not confirmed yet."""
        return len(self._spool) + (0 if self.is_confirmed else len(self._report.records))

    def observe(self, record: ObservationRecord) -> None:
        if len(self._spool) < MAX_SPOOLED:
            self._spool.append(record)
        else:
            self.dropped += 1

    def remember(self, answered: PendingFeedback) -> None:
        """While the store is away only the latest are kept: labels for the others are refused."""
        self._answered.append(answered)

    async def label(self, label: Label) -> FeedbackResult:
        """The answer may not have been reported yet: the report goes first."""
        while not self.is_confirmed or self._spool or self._answered:
            await self.exchange()
        return await self._shared.label(label)

    async def export(self) -> dict[str, Any]:
        return await self._shared.export()

    async def exchange(self) -> None:
        """Report what was seen, and take newer curves. Raises ConnectionError."""
        async with self._exchanging:
            await self._exchange()

    async def _exchange(self) -> None:
        if self.is_confirmed:
            records, self._spool = self._spool[:MAX_REPORTED], self._spool[MAX_REPORTED:]
            answered = tuple(self._answered)
            self._answered.clear()
            number = self._report.number + 1
            self._report = Report(self._report.writer, number, [*records], answered)
            self.is_confirmed = False
        update = await self._shared.exchange(self._report, self._epoch, self._version)
        self.is_confirmed = True
        if len(self._curves) > 2 * MAX_CLASSES:
            # Nobody reports classes that were folded: begin anew, with all that is still there.
            self._curves, self._epoch = {}, ""
            return
        self._curves.update((key, unpack(packed)) for key, packed in update.curves.items())
        self._epoch, self._version = update.epoch, update.version


async def keep_exchanging(cache: CurveCache) -> None:
    while True:
        await asyncio.sleep(EXCHANGE_SECONDS)
        try:
            await cache.exchange()
        except ConnectionError as error:
            log.warning("%s", error)
