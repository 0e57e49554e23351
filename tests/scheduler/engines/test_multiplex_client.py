"""One stream for all calls at a replica: who gets what, and who hears of its death."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from scheduler.engines.multiplex_client import CONNECT_SECONDS, CallQueues, MultiplexedStream
from scheduler.engines.multiplex_server import MultiplexServer
from scheduler.engines.pool import EngineDied, EventBatch
from tests.builders import call_open
from workers.engine import EngineEvent
from workers.sample import Accepted

FIRST, SECOND = Accepted(1), Accepted(2)


class FaultHarness:
    """A server, and a stream of it that two calls use; `streams` counts how often it was opened."""

    def __init__(self) -> None:
        self.server = MultiplexServer("replica")
        self.streams = 0
        self.is_broken = asyncio.Event()
        self.queues: CallQueues = {1: asyncio.Queue(), 2: asyncio.Queue()}
        self.stream = MultiplexedStream(self.listen, self.queues)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncGenerator[Any]]:
        self.streams += 1
        line = self.server.stream()

        async def until_broken() -> AsyncGenerator[Any]:
            broken = asyncio.ensure_future(self.is_broken.wait())
            while True:
                message = asyncio.ensure_future(_next(line))
                await asyncio.wait({message, broken}, return_when=asyncio.FIRST_COMPLETED)
                if broken.done():
                    message.cancel()
                    raise EngineDied("it was killed")
                if message.result() is None:
                    broken.cancel()
                    return
                yield message.result()

        yield until_broken()


def batch(*events: EngineEvent) -> EventBatch:
    return EventBatch("replica", events)


async def _next(line: AsyncGenerator[Any]) -> Any:
    return await anext(line, None)


async def test_every_call_gets_its_own_in_order() -> None:
    harness = FaultHarness()
    with harness.stream.register(1), harness.stream.register(2):
        with call_open(harness.server, 2):
            harness.server.post(2, FIRST)
            harness.server.post(1, FIRST)
            harness.server.post(2, SECOND)
            harness.server.post(99, FIRST)  # of a call that was given up
        one, two = harness.queues[1], harness.queues[2]
        assert [await two.get() for _ in range(2)] == [batch(FIRST, SECOND), None]
        assert await one.get() == batch(FIRST)
        assert harness.streams == 1


async def test_all_calls_hear_of_a_death_and_the_stream_is_over() -> None:
    harness = FaultHarness()
    with harness.stream.register(1), harness.stream.register(2):
        await asyncio.sleep(1)
        harness.is_broken.set()
        for queue in harness.queues.values():
            assert isinstance(await queue.get(), EngineDied)
    await asyncio.sleep(0)
    assert harness.stream.is_over


async def test_a_replica_that_opens_no_stream_is_gone() -> None:
    @asynccontextmanager
    async def silent() -> AsyncIterator[AsyncGenerator[Any]]:
        async def never() -> AsyncGenerator[Any]:
            await asyncio.Event().wait()
            yield ()

        yield never()

    harness = FaultHarness()
    harness.stream = MultiplexedStream(silent, harness.queues)
    began = asyncio.get_running_loop().time()
    with harness.stream.register(1):
        assert isinstance(await harness.queues[1].get(), EngineDied)
    assert asyncio.get_running_loop().time() - began == pytest.approx(CONNECT_SECONDS)


async def test_a_stream_that_was_closed_as_a_call_came_is_opened_again() -> None:
    harness = FaultHarness()
    with harness.stream.register(1):  # the replica does not know of it yet, and hangs up
        await asyncio.sleep(60)
        assert harness.streams > 1
        harness.server.post(1, FIRST)
        assert await harness.queues[1].get() == batch(FIRST)


async def test_no_stream_is_open_without_a_call() -> None:
    harness = FaultHarness()
    with harness.stream.register(1):
        await asyncio.sleep(1)
    await asyncio.sleep(60)
    assert harness.stream.is_over
    assert harness.streams == 1
