"""What travels together, what ends a line, and that no letter is lost between two lines."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from scheduler.engines.multiplex_server import IDLE_SECONDS, PACE_SECONDS, Frame, MultiplexServer
from scheduler.engines.pool import EventBatch
from workers.sample import Accepted

BATCHES = [EventBatch("replica", (Accepted(number),)) for number in range(6)]
MultiplexedStream = AsyncGenerator[tuple[Frame, ...]]


async def opened(outbox: MultiplexServer) -> MultiplexedStream:
    line = outbox.line()
    assert await anext(line) == ()
    return line


def later(seconds: float, do: Any, *args: Any) -> None:
    asyncio.get_running_loop().call_later(seconds, do, *args)


async def test_what_comes_soon_after_a_message_waits_for_the_next() -> None:
    outbox = MultiplexServer()
    line = await opened(outbox)
    outbox.post(1, BATCHES[0])
    assert await anext(line) == ((1, BATCHES[0]),)
    for number in (1, 2, 3):
        later(number * PACE_SECONDS / 4, outbox.post, number, BATCHES[number])
    told = [(number, BATCHES[number]) for number in (1, 2, 3)]
    assert await anext(line) == tuple(told)


async def test_what_was_posted_before_anybody_listened_is_kept_and_the_end_comes_last() -> None:
    outbox = MultiplexServer()
    with outbox.calling(7):
        outbox.post(7, BATCHES[0])
    assert not outbox.is_idle
    line = await opened(outbox)
    assert await anext(line) == ((7, BATCHES[0]), (7, None))
    assert outbox.is_idle


async def test_a_line_stands_while_a_call_runs_and_is_hung_up_after() -> None:
    outbox, clock = MultiplexServer(), asyncio.get_running_loop().time
    line = await opened(outbox)
    with outbox.calling(1):
        later(5 * IDLE_SECONDS, outbox.post, 1, BATCHES[0])
        assert await anext(line) == ((1, BATCHES[0]),)
    assert await anext(line) == ((1, None),)
    began = clock()
    assert await anext(line, "over") == "over"
    assert IDLE_SECONDS <= clock() - began < IDLE_SECONDS + 1


async def test_an_idle_outbox_is_in_use_while_somebody_listens() -> None:
    """Put away then, it would not be the one that the next call posts to."""

    outbox = MultiplexServer()
    assert outbox.is_unused
    line = await opened(outbox)
    assert outbox.is_idle
    assert not outbox.is_unused
    assert await anext(line, "over") == "over"
    assert outbox.is_unused


async def test_another_line_in_its_place_gets_all_that_was_not_sent() -> None:
    outbox = MultiplexServer()
    with outbox.calling(1):
        old = await opened(outbox)
        waiting = asyncio.ensure_future(_next(old))
        await asyncio.sleep(0)
        new = await opened(outbox)
        outbox.post(1, BATCHES[0])
        assert await waiting is None
        assert await anext(new) == ((1, BATCHES[0]),)


def _next(line: MultiplexedStream) -> Coroutine[Any, Any, Any]:
    async def once() -> Any:
        return await anext(line, None)

    return once()
