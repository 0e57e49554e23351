"""The replica's end of a call: what is ready together travels together, and silence is broken."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from scheduler.engines.pool import EventBatch
from workers.engine import Engine, EngineEvent, SampleRequest

HEARTBEAT_SECONDS = 2.0


class EventBatcher:
    """Runs requests on one engine, as the replica of this name."""

    def __init__(self, engine: Engine, replica: str) -> None:
        self._engine, self._replica = engine, replica
        self._calls: set[asyncio.Event] = set()
        self._draining = False

    def drain(self) -> None:
        """Have every call end with a batch that is leaving, now."""
        self._draining = True
        for news in self._calls:
            news.set()

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EventBatch]:
        """Raises Refused."""
        ready: list[EngineEvent] = []
        news = asyncio.Event()

        async def collect() -> None:
            async with aclosing(self._engine.sample(request)) as events:
                async for event in events:
                    ready.append(event)
                    news.set()

        collecting = asyncio.create_task(collect())
        collecting.add_done_callback(lambda _: news.set())
        self._calls.add(news)
        try:
            while not collecting.done() or ready:
                if not (self._draining or ready):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(news.wait(), HEARTBEAT_SECONDS)
                    news.clear()
                batch, leaving = tuple(ready), self._draining and not collecting.done()
                ready.clear()
                if batch or leaving or not collecting.done():
                    yield EventBatch(self._replica, batch, leaving)
                if leaving:
                    return
            collecting.result()
        finally:
            self._calls.discard(news)
            collecting.cancel()
            await asyncio.wait([collecting])
