"""Brings what a process has to tell to the store, off the request path.

A line goes to the spool at once. A task takes batches from there to the store, and again until the
store has confirmed them. Memory holds only lines that the spool's disk refuses, and only so many.
"""

import asyncio
import json
import logging
import time
from collections import deque
from pathlib import Path
from typing import Final, Protocol

from scheduler.solving.outcome_sink import SinkCounts
from scheduler.store.connect import file_of, parse_url
from scheduler.store.outcome_store import Written
from scheduler.store.records import StoreRecord, feedback_record, outcome_record, without_texts
from scheduler.store.settings import StoreConfig
from scheduler.store.spool import Spool, SpoolBatch, SpoolFull

log = logging.getLogger("thinkbudget")

FLUSH_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 0.5
MOST_RETRY_SECONDS: Final = 10.0
ADOPT_SECONDS: Final = 30.0
BATCH_LINES: Final = 1000
BATCH_BYTES: Final = 4 * 2**20
MOST_IN_MEMORY: Final = 10_000


class Sink(Protocol):
    """The store as a writer sees it: in this process, or in another one."""

    async def write(self, lines: list[bytes]) -> Written:
        """Take lines in, each once. Raises ConnectionError where the store is away."""

    async def close(self) -> None: ...


class StoreWriter:
    """An `OutcomeSink`. `run` is to be a task; without it lines stay in the spool."""

    def __init__(self, config: StoreConfig, sink: Sink) -> None:
        self._config, self._sink = config, sink
        self._spool = Spool(spool_of(config), mib=config.spool_mib)
        self._memory: deque[bytes] = deque()
        self._spooled = self._written = self._known = self._dropped = 0
        self._waiting = 0
        self._is_away = self._is_refused = False
        self._sending = asyncio.Lock()

    @property
    def counts(self) -> SinkCounts:
        waiting_bytes = self._spool.waiting_bytes + sum(map(len, self._memory))
        return SinkCounts(
            self._waiting, waiting_bytes, self._spooled, self._written, self._known, self._dropped
        )

    def put_outcome(self, outcome: StoreRecord, *, tenant: str, request_id: str | None) -> None:
        kept = outcome if self._config.texts else without_texts(outcome)
        self.put(outcome_record(kept, tenant=tenant, request_id=request_id))

    def put_label(self, outcome_id: str, reward: float, *, tenant: str, source: str) -> None:
        self.put(feedback_record(outcome_id, reward, tenant=tenant, source=source))

    def put(self, record: StoreRecord) -> None:
        """Take a record; it survives this process unless the disk is full."""
        line = json.dumps(record).encode() + b"\n"
        try:
            self._spool.append(line)
            self._spooled += 1
            self._waiting += 1
            self._is_refused = False
        except SpoolFull as full:
            self._dropped += 1
            self._tell_once(f"{full}: outcomes are dropped until the store takes some")
        except OSError as error:
            if len(self._memory) < MOST_IN_MEMORY:
                self._memory.append(line)
                self._waiting += 1
                self._tell_once(f"the spool cannot be written ({error}): outcomes are in memory")
            else:
                self._dropped += 1
                self._tell_once(f"the spool cannot be written ({error}): outcomes are dropped")

    async def run(self) -> None:
        """Bring lines to the store, for ever; those of processes that are gone too."""
        wait, adopted = FLUSH_SECONDS, float("-inf")
        while True:
            if time.monotonic() - adopted >= ADOPT_SECONDS:
                adopted = time.monotonic()
                self._adopt()
            try:
                while await self._send():
                    pass
                wait = FLUSH_SECONDS
            except ConnectionError as error:
                self._tell_away(error)
                wait = min(MOST_RETRY_SECONDS, max(RETRY_SECONDS, 2 * wait))
            await asyncio.sleep(wait)

    async def flush(self, seconds: float) -> bool:
        """Bring all lines to the store within so many seconds; whether it has them."""
        try:
            async with asyncio.timeout(seconds):
                while await self._send():
                    pass
        except (ConnectionError, TimeoutError):
            return False
        self._spool.tidy()
        return True

    async def close(self) -> None:
        """What the store does not have stays in the spool, for the next process."""
        while self._memory:
            try:
                self._spool.append(self._memory[0])
            except (OSError, SpoolFull) as error:
                log.error("%d outcomes are lost: %s", len(self._memory), error)
                break
            self._memory.popleft()
        self._spool.close()
        await self._sink.close()

    async def _send(self) -> bool:
        """Bring one batch to the store; False where there is none. Raises ConnectionError."""
        async with self._sending:
            if (batch := self._spool.take(most_lines=BATCH_LINES, most_bytes=BATCH_BYTES)) is None:
                return await self._send_memory()
            self._count(await self._sink.write(batch.lines), len(batch.lines))
            self._finish(batch)
            return True

    def _finish(self, batch: SpoolBatch) -> None:
        try:
            self._spool.done(batch)
        except OSError as error:  # the lines are sent again, and known by then
            log.warning("the spool cannot be shortened: %s", error)

    async def _send_memory(self) -> bool:
        lines = [line for line, _ in zip(self._memory, range(BATCH_LINES), strict=False)]
        if not lines:
            return False
        self._count(await self._sink.write(lines), len(lines))
        for _ in lines:
            self._memory.popleft()
        return True

    def _count(self, written: Written, lines: int) -> None:
        self._waiting = max(0, self._waiting - lines)
        self._written += written.new
        self._known += written.known
        self._dropped += written.refused
        if self._is_away:
            self._is_away = False
            log.warning("the store is back")

    def _adopt(self) -> None:
        try:
            if found := self._spool.adopt():
                log.warning("taken over: %d bytes that a process before had spooled", found)
        except OSError as error:
            log.warning("the spool's folder cannot be read: %s", error)

    def _tell_away(self, error: ConnectionError) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning("the store is away, outcomes are spooled: %s", error)

    def _tell_once(self, message: str) -> None:
        if not self._is_refused:
            self._is_refused = True
            log.error("%s", message)


def spool_of(config: StoreConfig) -> Path:
    """The folder of the spool."""
    if config.spool is not None:
        return Path(config.spool).absolute()
    path = file_of(parse_url(config.url or ""))
    return Path("thinkbudget.spool").absolute() if path is None else Path(f"{path}.spool")
