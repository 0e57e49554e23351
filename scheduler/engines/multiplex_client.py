"""The gateway's end of a line: one stream from each replica, for all calls there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

from scheduler.engines.multiplex_server import Frame
from scheduler.engines.pool import EngineDied, EventBatch

# A replica that has taken a call, and cannot be listened to for so long, is gone.
CONNECT_SECONDS = 10.0

# Gives the messages of a stream, which ends with the block.
Listen = Callable[[], AbstractAsyncContextManager[AsyncIterator[tuple[Frame, ...]]]]
# By the number of a call: what was told of it, in order.
Inboxes = dict[int, "asyncio.Queue[EventBatch | Exception | None]"]


class MultiplexedStream:
    """Listens to one replica while calls run there; `listen` begins a stream of its letters."""

    def __init__(self, listen: Listen, inboxes: Inboxes) -> None:
        self._listen, self._inboxes = listen, inboxes
        self._calls: set[int] = set()
        self._listening: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        return self._listening is not None and self._listening.done()

    @contextmanager
    def carrying(self, call: int) -> Iterator[None]:
        """While the call runs. If the line breaks, EngineDied is put into its inbox."""
        self._calls.add(call)
        self._listening = self._listening or asyncio.create_task(self._deliver())
        try:
            yield
        finally:
            self._calls.discard(call)

    async def _deliver(self) -> None:
        try:
            while self._calls:  # an idle line is hung up, and a call may have come meanwhile
                async with self._listen() as messages:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        await anext(messages, None)
                    async for letters in messages:
                        for call, batch in letters:
                            if inbox := self._inboxes.get(call):
                                inbox.put_nowait(batch)
        except TimeoutError:
            self._break(EngineDied(f"it cannot be listened to for {CONNECT_SECONDS:g} s"))
        except Exception as error:
            self._break(error)

    def _break(self, error: Exception) -> None:
        for call in self._calls:
            if inbox := self._inboxes.get(call):
                inbox.put_nowait(error)
