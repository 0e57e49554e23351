"""One line for all calls at a replica: who gets what, and who hears of its death."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from scheduler.engines.multiplex_client import CONNECT_SECONDS, Inboxes, MultiplexedStream
from scheduler.engines.multiplex_server import MultiplexServer
from scheduler.engines.pool import EngineDied, EventBatch

FIRST, SECOND = EventBatch("replica"), EventBatch("replica", leaving=True)


class FaultHarness:
    """An outbox, and a line to it that two calls use; `streams` counts how often it was begun."""

    def __init__(self) -> None:
        self.outbox = MultiplexServer()
        self.streams = 0
        self.is_broken = asyncio.Event()
        self.inboxes: Inboxes = {1: asyncio.Queue(), 2: asyncio.Queue()}
        self.line = MultiplexedStream(self.listen, self.inboxes)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncGenerator[Any]]:
        self.streams += 1
        line = self.outbox.line()

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


async def _next(line: AsyncGenerator[Any]) -> Any:
    return await anext(line, None)


async def test_every_call_gets_its_own_in_order() -> None:
    house = FaultHarness()
    with house.line.carrying(1), house.line.carrying(2):
        with house.outbox.calling(2):
            house.outbox.post(2, FIRST)
            house.outbox.post(1, FIRST)
            house.outbox.post(2, SECOND)
            house.outbox.post(99, FIRST)  # of a call that was given up
        one, two = house.inboxes[1], house.inboxes[2]
        assert [await two.get() for _ in range(3)] == [FIRST, SECOND, None]
        assert await one.get() == FIRST
        assert house.streams == 1


async def test_all_calls_hear_of_the_death_and_the_line_is_over() -> None:
    house = FaultHarness()
    with house.line.carrying(1), house.line.carrying(2):
        await asyncio.sleep(1)
        house.is_broken.set()
        for inbox in house.inboxes.values():
            assert isinstance(await inbox.get(), EngineDied)
    await asyncio.sleep(0)
    assert house.line.is_over


async def test_a_replica_that_cannot_be_listened_to_is_gone() -> None:
    @asynccontextmanager
    async def silent() -> AsyncIterator[AsyncGenerator[Any]]:
        async def never() -> AsyncGenerator[Any]:
            await asyncio.Event().wait()
            yield ()

        yield never()

    house = FaultHarness()
    house.line = MultiplexedStream(silent, house.inboxes)
    began = asyncio.get_running_loop().time()
    with house.line.carrying(1):
        assert isinstance(await house.inboxes[1].get(), EngineDied)
    assert asyncio.get_running_loop().time() - began == pytest.approx(CONNECT_SECONDS)


async def test_a_line_that_was_hung_up_as_a_call_came_is_taken_up_again() -> None:
    house = FaultHarness()
    with house.line.carrying(1):  # the replica does not know of it yet, and hangs up
        await asyncio.sleep(60)
        assert house.streams > 1
        house.outbox.post(1, FIRST)
        assert await house.inboxes[1].get() == FIRST


async def test_nobody_is_listened_to_without_a_call() -> None:
    house = FaultHarness()
    with house.line.carrying(1):
        await asyncio.sleep(1)
    await asyncio.sleep(60)
    assert house.line.is_over
    assert house.streams == 1
