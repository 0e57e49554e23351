"""A call on one replica is taken or refused, and ends with "leaving" when the replica drains."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from policies.plan import Budget
from scheduler.engines.pool import EventBatch, Taken
from scheduler.engines.replica_calls import ReplicaCalls
from workers.engine import EngineEvent, Refused, SampleRequest
from workers.sample import Accepted, Sample
from workers.simulated.engine import SimulatedEngine

REQUEST = SampleRequest("q", (("user", "hard question"),), (0, 1), Budget(100, 100))


class SlowToAccept(SimulatedEngine):
    """Takes a request after five seconds."""

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        await asyncio.sleep(5.0)
        async for event in super().sample(request):
            yield event


async def first_leaving(calls: ReplicaCalls) -> EventBatch | None:
    """The batch by which call 1 of gateway "g" learns that its replica leaves. None: it ends."""
    async with aclosing(calls.server("g").stream()) as stream:
        async for frames in stream:
            for call, batch in frames:
                if call == 1 and (batch is None or batch.leaving):
                    return batch
    return None


async def test_a_call_is_taken_by_one_message_and_its_events_come_by_the_stream() -> None:
    calls = ReplicaCalls(SimulatedEngine(tokens_per_second=100.0), "a")
    events: list[EngineEvent] = []
    async with aclosing(calls.run(REQUEST, "g", 1, events.append)) as run:
        assert [taken async for taken in run] == [Taken("a")]
    assert [type(event) for event in events] == [Accepted, Sample, Sample]
    async with aclosing(calls.server("g").stream()) as stream:
        assert await anext(stream) == ()
        assert await anext(stream) == ((1, EventBatch("a", tuple(events))), (1, None))


async def test_a_refusal_is_raised_before_the_call_is_taken() -> None:
    calls = ReplicaCalls(SimulatedEngine(), "a")
    long = SampleRequest("q", (("user", "word " * 5000),), (0,), Budget(100))
    with pytest.raises(Refused):
        await anext(calls.run(long, "g", 1))


@pytest.mark.parametrize("after", [0.0, 1.0, 5.5])
async def test_a_drained_replica_tells_a_call_that_it_leaves_taken_or_not(after: float) -> None:
    calls = ReplicaCalls(SlowToAccept(tokens_per_second=100.0), "a")
    asyncio.get_running_loop().call_later(after, calls.drain)
    async with aclosing(calls.run(REQUEST, "g", 1)) as run:
        assert await anext(run) == Taken("a")
        leaving = await first_leaving(calls)
        assert leaving is not None and leaving.leaving


async def test_a_call_that_comes_to_a_drained_replica_is_told_so() -> None:
    calls = ReplicaCalls(SimulatedEngine(tokens_per_second=100.0), "a")
    calls.drain()
    async with aclosing(calls.run(REQUEST, "g", 1)) as run:
        assert await anext(run) == Taken("a")
        assert await first_leaving(calls) == EventBatch("a", leaving=True)


async def test_closing_a_call_drops_its_chains() -> None:
    engine = SimulatedEngine(tokens_per_second=100.0)
    calls = ReplicaCalls(engine, "a")
    async with aclosing(calls.run(REQUEST, "g", 1)) as run:
        await anext(run)
        assert (await engine.load()).running == 2
    assert (await engine.load()).running == 0


async def test_calls_of_many_gateways_that_come_in_the_same_moment_all_get_their_events() -> None:
    calls = ReplicaCalls(SimulatedEngine(tokens_per_second=100.0), "a")
    gateways = [f"g{number}" for number in range(4)]

    async def call(gateway: str) -> None:
        async with aclosing(calls.run(REQUEST, gateway, 1)) as run:
            assert [taken async for taken in run] == [Taken("a")]

    async with asyncio.TaskGroup() as group:
        for gateway in gateways:
            group.create_task(call(gateway))
    for gateway in gateways:
        async with asyncio.timeout(5), aclosing(calls.server(gateway).stream()) as stream:
            assert await anext(stream) == ()
            frames = await anext(stream)
            assert frames[-1] == (1, None), gateway
