"""The replica's end of a line: what many calls of one gateway have ready travels together.

On the way a message costs more than what is in it.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress

from scheduler.engines.pool import EventBatch

# What comes within so long of the last message waits for the next.
PACE_SECONDS = 0.02
# A line that has no call is hung up: a replica that is to go waits for what it has open.
IDLE_SECONDS = 10.0

# The number of a call, and what it tells; None ends it.
Frame = tuple[int, EventBatch | None]


class MultiplexServer:
    """What one replica has to tell one gateway. Kept until somebody listens."""

    def __init__(self) -> None:
        self._letters: list[Frame] = []
        self._news = asyncio.Event()
        self._calls = 0
        self._line: object = None

    @property
    def is_idle(self) -> bool:
        return not (self._calls or self._letters)

    @property
    def is_unused(self) -> bool:
        """Idle, and nobody listens to what may come."""
        return self._line is None and self.is_idle

    @contextmanager
    def calling(self, call: int) -> Iterator[None]:
        """While the call runs; its end is told."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self.post(call, None)

    def post(self, call: int, batch: EventBatch | None) -> None:
        self._letters.append((call, batch))
        self._news.set()

    async def line(self) -> AsyncGenerator[tuple[Frame, ...]]:
        """An empty message at once, then all that is posted, in order. Ends once it is idle, or
        another line is taken in its place.
        """
        self._line = mine = object()
        try:
            yield ()
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), IDLE_SECONDS)
                if self._line is not mine or self.is_idle:
                    return
                self._news.clear()
                if self._letters:
                    letters, self._letters = tuple(self._letters), []
                    yield letters
                    await asyncio.sleep(PACE_SECONDS)
        finally:
            if self._line is mine:
                self._line = None
