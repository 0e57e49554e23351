"""The gateway's end of a multiplexed stream: one stream from each replica, for all calls there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

from scheduler.engines.multiplex_server import Frame
from scheduler.engines.pool import EngineDied, EventBatch

# A replica that has taken a call, but opens no stream within so many seconds, is gone.
CONNECT_SECONDS = 10.0

# Opens a stream of messages, which is closed with the block.
Open = Callable[[], AbstractAsyncContextManager[AsyncIterator[tuple[Frame, ...]]]]
# By the number of a call: its batches in order; None ends it.
CallQueues = dict[int, "asyncio.Queue[EventBatch | Exception | None]"]


class MultiplexedStream:
    """Reads the stream of one replica while calls run there."""

    def __init__(self, open_stream: Open, queues: CallQueues) -> None:
        self._open, self._queues = open_stream, queues
        self._calls: set[int] = set()
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        return self._reading is not None and self._reading.done()

    @contextmanager
    def register(self, call: int) -> Iterator[None]:
        """While the call runs. If the stream breaks, EngineDied is put into its queue."""
        self._calls.add(call)
        self._reading = self._reading or asyncio.create_task(self._read())
        try:
            yield
        finally:
            self._calls.discard(call)

    async def _read(self) -> None:
        try:
            while self._calls:  # an idle stream is closed, and a call may have come meanwhile
                async with self._open() as messages:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        await anext(messages, None)
                    async for frames in messages:
                        for call, batch in frames:
                            if queue := self._queues.get(call):
                                queue.put_nowait(batch)
        except TimeoutError:
            self._break(EngineDied(f"opens no stream within {CONNECT_SECONDS:g} s"))
        except Exception as error:
            self._break(error)

    def _break(self, error: Exception) -> None:
        for call in self._calls:
            if queue := self._queues.get(call):
                queue.put_nowait(error)
