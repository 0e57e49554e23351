"""What travels together, what ends a stream, and that nothing is lost between two streams."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import pytest

from scheduler.engines.multiplex_server import (
    HEARTBEAT_SECONDS,
    IDLE_SECONDS,
    PACE_SECONDS,
    Frame,
    MultiplexServer,
)
from scheduler.engines.pool import EventBatch
from tests.builders import call_open
from workers.sample import Accepted

EVENTS = [Accepted(number) for number in range(6)]
BATCHES = [EventBatch("replica", (event,)) for event in EVENTS]
MultiplexedStream = AsyncGenerator[tuple[Frame, ...]]


async def opened(server: MultiplexServer) -> MultiplexedStream:
    stream = server.stream()
    assert await anext(stream) == ()
    return stream


def later(seconds: float, do: Any, *args: Any) -> None:
    asyncio.get_running_loop().call_later(seconds, do, *args)


async def test_what_comes_soon_after_a_message_waits_for_the_next() -> None:
    server = MultiplexServer("replica")
    stream = await opened(server)
    server.post(1, EVENTS[0])
    assert await anext(stream) == ((1, BATCHES[0]),)
    for number in (1, 2, 3):
        later(number * PACE_SECONDS / 4, server.post, number, EVENTS[number])
    told = [(number, BATCHES[number]) for number in (1, 2, 3)]
    assert await anext(stream) == tuple(told)


async def test_what_was_posted_before_anybody_read_is_kept_and_the_end_comes_last() -> None:
    server = MultiplexServer("replica")
    with call_open(server, 7):
        server.post(7, EVENTS[0])
    assert not server.is_idle
    stream = await opened(server)
    assert await anext(stream) == ((7, BATCHES[0]), (7, None))
    assert server.is_idle


async def test_a_stream_stays_open_with_heartbeats_while_a_call_runs_and_is_closed_after() -> None:
    server, clock = MultiplexServer("replica"), asyncio.get_running_loop().time
    stream = await opened(server)
    with call_open(server, 1):
        later(5 * IDLE_SECONDS, server.post, 1, EVENTS[0])
        heartbeats = 0
        while (frames := await anext(stream)) == ((1, EventBatch("replica")),):
            heartbeats += 1
        assert frames == ((1, BATCHES[0]),)
        assert heartbeats == pytest.approx(5 * IDLE_SECONDS / HEARTBEAT_SECONDS, abs=2)
    assert await anext(stream) == ((1, None),)
    began = clock()
    assert await anext(stream, "over") == "over"
    assert IDLE_SECONDS <= clock() - began < IDLE_SECONDS + 2 * HEARTBEAT_SECONDS


async def test_a_silent_call_is_reported_alive_beside_one_that_sends_all_the_time() -> None:
    server, clock = MultiplexServer("replica"), asyncio.get_running_loop().time

    async def send() -> None:
        while True:
            server.post(1, EVENTS[0])
            await asyncio.sleep(PACE_SECONDS)

    sending = asyncio.create_task(send())
    reported: list[float] = []
    with call_open(server, 1), call_open(server, 2):
        stream = await opened(server)
        while clock() < 20.0:
            frames = dict(await anext(stream))
            if 2 in frames:
                assert frames[2] == EventBatch("replica")
                reported.append(clock())
    sending.cancel()
    gaps = [later - before for before, later in zip([0.0, *reported], reported, strict=False)]
    assert len(gaps) >= 9
    assert max(gaps) <= HEARTBEAT_SECONDS + 2 * PACE_SECONDS
    assert min(gaps) >= HEARTBEAT_SECONDS, "a heartbeat is only sent in a silence"


async def test_an_idle_server_is_in_use_while_somebody_reads() -> None:
    """Put away then, it would not be the one that the next call posts to."""

    server = MultiplexServer("replica")
    assert server.is_unused
    stream = await opened(server)
    assert server.is_idle
    assert not server.is_unused
    assert await anext(stream, "over") == "over"
    assert server.is_unused


async def test_another_reader_in_its_place_gets_all_that_was_not_sent() -> None:
    server = MultiplexServer("replica")
    with call_open(server, 1):
        old = await opened(server)
        waiting = asyncio.ensure_future(_next(old))
        await asyncio.sleep(0)
        new = await opened(server)
        server.post(1, EVENTS[0])
        assert await waiting is None
        assert await anext(new) == ((1, BATCHES[0]),)


def _next(stream: MultiplexedStream) -> Coroutine[Any, Any, Any]:
    async def once() -> Any:
        return await anext(stream, None)

    return once()


async def test_a_call_is_told_that_its_replica_leaves_before_it_ends() -> None:
    server = MultiplexServer("replica")
    stream = await opened(server)
    with call_open(server, 1):
        server.post(1, EVENTS[0])
        server.leave(1)
    frames = await anext(stream)
    assert frames == ((1, EventBatch("replica", (EVENTS[0],), leaving=True)), (1, None))
