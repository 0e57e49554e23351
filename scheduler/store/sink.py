"""A store in this process, opened when the first batch comes, and again after it was away."""

import asyncio
import time
from typing import Final

from scheduler.store.outcome_store import OutcomeStore, StoreAway, Written
from scheduler.store.settings import StoreConfig

PRUNE_SECONDS: Final = 600.0


class StoreSink:
    """Writes in a thread, one batch after another. A `Sink` for a `StoreWriter`."""

    def __init__(self, config: StoreConfig) -> None:
        self._config = config
        self._store: OutcomeStore | None = None
        self._pruned = time.monotonic()
        self._lock = asyncio.Lock()

    async def write(self, lines: list[bytes]) -> Written:
        async with self._lock:
            writing = asyncio.create_task(asyncio.to_thread(self._write, lines))
            try:
                return await asyncio.shield(writing)
            except asyncio.CancelledError:
                # The thread goes on: `close` must not take its connections away meanwhile.
                await asyncio.wait([writing])
                writing.exception()  # the lines are sent again
                raise

    async def close(self) -> None:
        async with self._lock:
            if self._store is not None:
                await asyncio.to_thread(self._store.close)
                self._store = None

    def _write(self, lines: list[bytes]) -> Written:
        try:
            if self._store is None:
                self._store = OutcomeStore(self._config.url or "")
            written = self._store.write(lines)
            if time.monotonic() - self._pruned >= PRUNE_SECONDS:
                # Little at a time: what is left is deleted after the next batch.
                kept = {"days": self._config.days, "rollup_days": self._config.rollup_days}
                if not self._store.prune(**kept):
                    self._pruned = time.monotonic()
            return written
        except ValueError as error:  # a schema or an owner that an operator has to mend
            raise StoreAway(str(error)) from None
