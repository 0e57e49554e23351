"""The replica's end of the stream to one gateway: the events of all its calls travel together.

A message costs more than what is in it.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from itertools import takewhile

from scheduler.engines.pool import EventBatch
from workers.engine import EngineEvent

# Events that come within so many seconds of the last message wait for the next one.
PACE_SECONDS = 0.02
# A call of which nothing was sent for so many seconds is reported alive, whatever the others send.
HEARTBEAT_SECONDS = 2.0
# A stream without calls is closed: a replica that is to stop waits for what it has open.
IDLE_SECONDS = 10.0

# The number of a call, and its events; None ends the call.
Frame = tuple[int, EventBatch | None]


class MultiplexServer:
    """What one replica has to send to one gateway. It is kept until the gateway reads it."""

    def __init__(self, replica: str) -> None:
        self._replica = replica
        self._events: dict[int, list[EngineEvent]] = {}
        self._leaving: set[int] = set()
        self._ended: list[int] = []
        #: When something was last sent of each call that runs, the longest silent first.
        self._calls: dict[int, float] = {}
        self._news = asyncio.Event()
        self._reader: object = None

    @property
    def is_idle(self) -> bool:
        return not (self._calls or self._events or self._leaving or self._ended)

    @property
    def is_unused(self) -> bool:
        """Idle, and nobody reads what may come."""
        return self._reader is None and self.is_idle

    def open(self, call: int) -> None:
        """The call runs from now on: heartbeats are sent of it."""
        self._calls[call] = _now()

    def close(self, call: int) -> None:
        """The call runs no more; its end is sent."""
        del self._calls[call]
        self._ended.append(call)
        self._news.set()

    def post(self, call: int, event: EngineEvent) -> None:
        self._events.setdefault(call, []).append(event)
        self._news.set()

    def leave(self, call: int) -> None:
        """Tell the call that the replica is about to stop."""
        self._leaving.add(call)
        self._news.set()

    async def stream(self) -> AsyncGenerator[tuple[Frame, ...]]:
        """An empty message at once, then all that is posted, in order. Ends once it is idle, or
        another reader takes its place.
        """
        self._reader = mine = object()
        idle_since: float | None = None
        try:
            yield ()
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), self._seconds_to_heartbeat())
                if self._reader is not mine:
                    return
                self._news.clear()
                if frames := self._frames():
                    idle_since = None
                    yield frames
                    await asyncio.sleep(PACE_SECONDS)
                elif self.is_idle:
                    idle_since = _now() if idle_since is None else idle_since
                    if _now() - idle_since >= IDLE_SECONDS:
                        return
        finally:
            if self._reader is mine:
                self._reader = None

    def _seconds_to_heartbeat(self) -> float:
        silent_since = next(iter(self._calls.values()), _now())
        return max(0.0, silent_since + HEARTBEAT_SECONDS - _now())

    def _frames(self) -> tuple[Frame, ...]:
        """All that is to be sent now: events, heartbeats and ends."""
        now = _now()
        silent = takewhile(
            lambda call: self._calls[call] + HEARTBEAT_SECONDS <= now, list(self._calls)
        )
        frames: list[Frame] = []
        for call in dict.fromkeys([*self._events, *self._leaving, *silent]):
            events, leaving = tuple(self._events.get(call, ())), call in self._leaving
            frames.append((call, EventBatch(self._replica, events, leaving)))
            if call in self._calls:
                del self._calls[call]
                self._calls[call] = now
        frames += [(call, None) for call in self._ended]
        self._events, self._leaving, self._ended = {}, set(), []
        return tuple(frames)


def _now() -> float:
    return asyncio.get_running_loop().time()
