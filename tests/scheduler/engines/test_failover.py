"""Engines die, hang and leave; whoever asked sees one unbroken stream, and pays for it once."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from policies.plan import Budget
from policies.sampling import SamplingParams
from scheduler.engines.failover import RETRY_SECONDS, FailoverEngine
from scheduler.engines.in_flight import CANCEL_SECONDS
from scheduler.engines.local_pool import LocalEnginePool
from scheduler.engines.quarantine import Quarantine, fingerprint
from scheduler.engines.replica_health import AVOID_SECONDS
from scheduler.errors import Overloaded, PoisonRequest
from tests.builders import changed
from tests.scheduler.simulation import chat, post
from workers.engine import EngineEvent, Refused, SampleRequest
from workers.forcing.checkpoint import Checkpoint
from workers.sample import Accepted, Delta, Sample
from workers.simulated.engine import SimulatedEngine

LONG = Budget(600, 600)
TOKENS_PER_SECOND = 100.0
NAMES = ["a", "b", "c"]


def request(chains: int = 1, **fields: Any) -> SampleRequest:
    asked = ("user", fields.pop("question", "hard question"))
    return changed(
        SampleRequest("q", (asked,), tuple(range(chains)), LONG, SamplingParams(1.0)), **fields
    )


def simulated(replica: str) -> SimulatedEngine:
    return SimulatedEngine(tokens_per_second=TOKENS_PER_SECOND, replica=replica)


@dataclass
class FaultHarness:
    """A pool, what stands on it, and the calls that run."""

    pool: LocalEnginePool
    engine: FailoverEngine

    @classmethod
    def of(cls, names: list[str] = NAMES, make: Any = simulated, **limits: Any) -> "FaultHarness":
        pool = LocalEnginePool(make, names)
        return cls(pool, FailoverEngine(pool, **limits))

    def ask(self, asked: SampleRequest) -> "asyncio.Task[list[EngineEvent]]":
        return asyncio.create_task(gather(self.engine.sample(asked)))

    def busy(self) -> list[str]:
        return [name for name, one in self.pool.replicas.items() if one.calls]

    def home(self) -> str:
        [name] = self.busy()
        return name


async def left_over(harness: FaultHarness) -> set["asyncio.Task[Any]"]:
    """Tasks that still run once the pool is closed."""
    await harness.engine.close()
    await asyncio.sleep(1)
    return asyncio.all_tasks() - {asyncio.current_task()}


async def gather(events: AsyncGenerator[EngineEvent]) -> list[EngineEvent]:
    return [event async for event in events]


def samples(events: list[EngineEvent]) -> dict[int, Sample]:
    found = [event for event in events if isinstance(event, Sample)]
    assert len({sample.chain for sample in found}) == len(found), "a chain ended twice"
    return {sample.chain: replace(sample, seconds=0.0) for sample in found}


def unmoved(found: dict[int, Sample]) -> dict[int, Sample]:
    return {chain: replace(sample, migrations=0, replica="") for chain, sample in found.items()}


def text(events: list[EngineEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def undisturbed(asked: SampleRequest) -> list[EngineEvent]:
    harness = FaultHarness.of(["a"])
    events = await harness.ask(asked)
    await harness.engine.close()
    return events


Fault = Callable[[LocalEnginePool, str], None]
FAULTS: dict[str, Fault] = {
    "killed": LocalEnginePool.kill,
    "hung": LocalEnginePool.hang,
    "drained": LocalEnginePool.drain,
    "core killed": lambda pool, name: pool.replicas[name].engine.kill(),  # type: ignore[attr-defined]
}


class Forgetful(SimulatedEngine):
    """Ends every call without the samples that it was asked for."""

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        async for event in super().sample(request):
            if isinstance(event, Sample):
                return
            yield event


async def test_an_engine_that_ends_a_call_without_its_samples_counts_as_dead() -> None:
    def make(name: str) -> SimulatedEngine:
        kind = Forgetful if name == "a" else SimulatedEngine
        return kind(tokens_per_second=TOKENS_PER_SECOND, replica=name)

    asked = request(2, stream=0)
    whole = await undisturbed(asked)
    harness = FaultHarness.of(["a", "b"], make)
    events = await harness.ask(asked)
    assert text(events) == text(whole)
    assert unmoved(samples(events)) == unmoved(samples(whole))
    assert {sample.replica for sample in samples(events).values()} == {"b"}
    assert harness.engine.counts["deaths"] == 1


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("after", [0.0, 0.05, 1.0, 3.01, 6.01, 6.05])
async def test_a_stream_goes_on_unbroken_on_another_engine(fault: str, after: float) -> None:
    asked = request(stream=0)
    whole = await undisturbed(asked)
    harness = FaultHarness.of(watchdog_seconds=5.0)
    asking = harness.ask(asked)
    await asyncio.sleep(after + 1e-3)
    first = harness.home()
    FAULTS[fault](harness.pool, first)
    events = await asking
    assert text(events) == text(whole)
    assert unmoved(samples(events)) == unmoved(samples(whole))
    [sample] = samples(events).values()
    assert (sample.migrations, sample.replica != first) == (1, True)
    assert [type(event) for event in events].count(Accepted) == 1
    assert harness.engine.counts["deaths"] == (fault != "drained")
    assert harness.engine.counts["migrations"] == 1
    assert not await left_over(harness)


async def test_a_request_waits_while_its_only_replica_leaves_and_asks_it_now_and_then() -> None:
    asked = request(stream=0)
    whole = await undisturbed(asked)
    harness = FaultHarness.of(["a"])
    asking = harness.ask(asked)
    await asyncio.sleep(1.0)
    harness.pool.replicas["a"].running.drain()
    await asyncio.sleep(5.0)
    harness.pool.start("a")
    events = await asking
    assert text(events) == text(whole)
    assert unmoved(samples(events)) == unmoved(samples(whole))
    assert 2 <= harness.engine.counts["migrations"] <= 2 + 5.0 / RETRY_SECONDS


async def test_little_is_generated_twice_and_little_time_lost() -> None:
    asked = request(stream=0)
    harness = FaultHarness.of()
    clock = asyncio.get_running_loop().time
    asking = harness.ask(asked)
    await asyncio.sleep(3.04)
    harness.pool.kill(harness.home())
    await asking
    assert clock() < 606 / TOKENS_PER_SECOND + 0.1 + 0.001
    assert 290 < harness.engine.counts["replayed_tokens"] <= 304


async def test_a_hung_engine_is_left_after_the_watchdogs_time_and_avoided_by_others() -> None:
    harness = FaultHarness.of(["a", "b"], watchdog_seconds=5.0)
    clock = asyncio.get_running_loop().time
    asking = harness.ask(request())
    await asyncio.sleep(1.0)
    hung = harness.home()
    harness.pool.hang(hung)
    await asking
    assert clock() < 1.0 + 2.0 + 5.0 + 6.1
    [sample] = samples(await harness.ask(request(query="other"))).values()
    assert sample.replica != hung
    harness.pool.wake(hung)
    await asyncio.sleep(AVOID_SECONDS)
    both = [harness.ask(request(query=f"later {number}")) for number in range(2)]
    replicas = {sample.replica for one in both for sample in samples(await one).values()}
    assert replicas == {"a", "b"}


async def test_an_engine_that_is_slow_but_alive_is_not_left() -> None:
    def slow(replica: str) -> SimulatedEngine:
        return SimulatedEngine(tokens_per_second=1.0, replica=replica)

    harness = FaultHarness.of(make=slow, watchdog_seconds=5.0)
    [sample] = samples(await harness.ask(request())).values()
    assert sample.migrations == 0


async def test_the_votes_of_a_dead_engine_are_cast_elsewhere() -> None:
    asked = request(8, budget=Budget(600))
    whole = await undisturbed(asked)
    harness = FaultHarness.of()
    asking = harness.ask(asked)
    await asyncio.sleep(0.8)
    harness.pool.kill(harness.home())
    assert unmoved(samples(await asking)) == unmoved(samples(whole))
    done = [sample.migrations for sample in samples(await asking).values()]
    assert {*done} == {0, 1}, "some had come back before"


async def test_without_any_engine_a_request_waits_and_is_then_refused() -> None:
    harness = FaultHarness.of(["a"], queue_seconds=20.0)
    clock = asyncio.get_running_loop().time
    asking = harness.ask(request())
    await asyncio.sleep(1.0)
    harness.pool.kill("a")
    with pytest.raises(Overloaded) as refused:
        await asking
    assert 20.0 < clock() < 22.0
    assert refused.value.headers["Retry-After"]
    assert (refused.value.status, refused.value.code) == (503, "engine_unavailable")
    waiting = harness.ask(request())
    await asyncio.sleep(15.0)
    harness.pool.start("a")
    [sample] = samples(await waiting).values()
    assert (sample.stop_cause, sample.thinking_tokens) == ("natural", 600)


async def test_every_one_of_many_requests_is_answered_however_often_engines_die() -> None:
    harness = FaultHarness.of()
    asked = [request(2, query=f"q{n}", question=f"hard question {n}", stream=0) for n in range(30)]
    whole = [await undisturbed(one) for one in asked]
    asking = [harness.ask(one) for one in asked]
    for name in ["a", "b", "c", "a"]:
        await asyncio.sleep(3.37)
        harness.pool.kill(name)
        harness.pool.start(name)
    for one, before in zip(asking, whole, strict=True):
        events = await one
        assert text(events) == text(before)
        assert unmoved(samples(events)) == unmoved(samples(before))


@pytest.mark.parametrize("when", ["running", "without an engine", "on a hung engine"])
async def test_a_cancelled_request_ends_at_once_and_says_what_it_had_cost(when: str) -> None:
    harness = FaultHarness.of(["a"])
    clock = asyncio.get_running_loop().time
    asking = harness.ask(request(3))
    await asyncio.sleep(2.0)
    if when == "without an engine":
        harness.pool.kill("a")
        await asyncio.sleep(1.0)
    elif when == "on a hung engine":
        harness.pool.hang("a")
        await asyncio.sleep(1.0)
    told = clock()
    await harness.engine.cancel("q")
    found = samples(await asking)
    assert clock() - told <= CANCEL_SECONDS + 0.3
    assert {sample.stop_cause for sample in found.values()} == {"cancelled"}
    assert all(190 <= sample.generated_tokens <= 200 for sample in found.values())


async def test_a_chain_cancelled_while_it_had_no_engine_stays_cancelled_and_the_others_go_on() -> (
    None
):
    harness = FaultHarness.of(["a"])
    asking = harness.ask(request(2))
    await asyncio.sleep(2.0)
    harness.pool.kill("a")
    await asyncio.sleep(1.0)
    await harness.engine.cancel("q", 1)
    harness.pool.start("a")
    found = samples(await asking)
    assert [found[chain].stop_cause for chain in (0, 1)] == ["natural", "cancelled"]
    assert found[1].generated_tokens <= 200


async def test_a_chain_told_to_answer_while_it_had_no_engine_answers_on_the_next() -> None:
    harness = FaultHarness.of(["a"])
    asking = harness.ask(request())
    await asyncio.sleep(2.0)
    harness.pool.kill("a")
    await harness.engine.conclude("q", 0)
    await asyncio.sleep(1.0)
    harness.pool.start("a")
    [sample] = samples(await asking).values()
    assert sample.stop_cause == "early_exit"
    assert 190 <= sample.thinking_tokens <= 200


async def test_who_goes_away_leaves_nothing_behind() -> None:
    harness = FaultHarness.of()
    for seconds in (0.0, 1.0, 5.0):
        asking = harness.ask(request(4))
        await asyncio.sleep(seconds)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    await asyncio.sleep(0.0)
    assert harness.busy() == []
    assert not await left_over(harness)


async def test_what_an_engine_refuses_is_refused() -> None:
    with pytest.raises(Refused, match="does not fit"):
        await FaultHarness.of().ask(request(question="word " * 5000))


async def test_a_querys_later_rounds_go_where_its_prefix_is_cached() -> None:
    harness = FaultHarness.of()
    for query in ("one", "two", "three", "four"):
        rounds = [samples(await harness.ask(request(query=query, chains=1))) for _ in range(3)]
        assert len({found[0].replica for found in rounds}) == 1


class Poisoned(SimulatedEngine):
    """Dies of a question that holds the word, after so many tokens or so many seconds of it."""

    tokens = 0
    seconds = 0.0

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        events = super().sample(request)
        poison = "poison" in request.messages[-1][1]
        async for event in events:
            if poison and isinstance(event, Accepted):
                at = request.checkpoint(0) or Checkpoint()
                left = (self.tokens - len(at.thinking)) / self.tokens_per_second
                asyncio.get_running_loop().call_later(max(self.seconds, left), self.kill)
            yield event


def poisoned(replica: str) -> Poisoned:
    return Poisoned(tokens_per_second=TOKENS_PER_SECOND, replica=replica)


@dataclass
class Ward:
    """A harness whose engines die of poison, and are replaced after a while."""

    tokens: int = 0
    size: int = 3
    losses: int = 0
    seconds: float = 0.0
    replaced: int = 0

    def harness(self) -> FaultHarness:
        self.built = FaultHarness.of([f"{n}" for n in range(self.size)], self.make)
        return self.built

    def make(self, replica: str) -> Poisoned:
        engine = poisoned(replica)
        engine.tokens, engine.seconds = self.tokens, self.seconds
        asyncio.create_task(self.replace(engine))
        return engine

    async def replace(self, engine: Poisoned) -> None:
        await engine._died.wait()
        self.losses += 1
        await asyncio.sleep(0.01)
        self.built.pool.kill(engine.replica)
        await asyncio.sleep(2.0)
        # Of its own name: to start one anew kills it.
        self.replaced += 1
        self.built.pool.start(f"new {self.replaced}")


@pytest.mark.parametrize("tokens", [0, 30, 200])
@pytest.mark.parametrize("neighbours", [0, 3, 12])
@pytest.mark.parametrize("size", [1, 3])
async def test_a_poison_request_costs_two_engines_and_none_of_its_neighbours(
    tokens: int, neighbours: int, size: int
) -> None:
    ward = Ward(tokens, size)
    harness = ward.harness()
    innocent = [
        harness.ask(request(2, query=f"q{n}", question=f"hard question {n}", stream=0))
        for n in range(neighbours)
    ]
    await asyncio.sleep(0.1)
    poison = harness.ask(request(query="p", question="poison question"))
    with pytest.raises(PoisonRequest) as refused:
        await poison
    assert (refused.value.status, refused.value.code) == (500, "poison_request")
    for asking in innocent:
        found = samples(await asking)
        assert {sample.stop_cause for sample in found.values()} == {"natural"}
    # One that kills late, and in company, has to be caught twice more.
    late = tokens > 100 and neighbours > 0
    assert ward.losses == 2 + late
    for _ in range(3):
        with pytest.raises(PoisonRequest):
            await harness.ask(request(query="again", question="poison question"))
    assert ward.losses == 2 + late
    assert harness.engine.counts["poison"] == 4


@pytest.mark.parametrize("seconds", [0.8, 1.5, 3.0])
async def test_what_kills_slowly_is_watched_for_longer_each_time(seconds: float) -> None:
    """It goes on in peace wherever it comes to, for longer than suspects are watched at first."""

    ward = Ward(seconds=seconds)
    harness = ward.harness()
    innocent = [
        harness.ask(request(2, query=f"q{n}", question=f"hard question {n}", stream=0))
        for n in range(3)
    ]
    with pytest.raises(PoisonRequest):
        await harness.ask(request(question="poison question", budget=Budget(3000, 3000)))
    for asking in innocent:
        found = samples(await asking)
        assert {sample.stop_cause for sample in found.values()} == {"natural"}
    assert ward.losses <= 6


@pytest.mark.parametrize("engines", [["a"], []])
async def test_what_another_gateway_blocks_neither_waits_nor_runs_here(
    engines: list[str],
) -> None:
    """The same question again, before this gateway could have heard of it."""

    quarantine = Quarantine()
    harness = FaultHarness.of(engines, quarantine=quarantine)
    asked = request(question="poison question")
    poison, neighbour = harness.ask(asked), harness.ask(request())
    await asyncio.sleep(1.0)
    assert harness.busy() == engines
    quarantine.block({fingerprint(asked): 600.0})
    with pytest.raises(PoisonRequest):
        await asyncio.wait_for(poison, 0.1)
    assert harness.engine.counts == {"poison": 1}
    if not engines:
        harness.pool.start("a")
    assert len(samples(await neighbour)) == 1
    assert not harness.busy()


class Absent(LocalEnginePool):
    """There is nobody to take a call."""

    async def _choose(self, home: str | None, avoid: tuple[str, ...]) -> Any:
        await asyncio.sleep(1e6)


def test_over_http_poison_is_an_openai_error_and_its_neighbour_is_answered() -> None:
    engine = FaultHarness.of(["a", "b", "c"], poisoned).engine
    reply = post(chat("poison question"), engine=engine)
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "poison_request")
    assert reply.headers["x-should-retry"] == "false"
    harness = FaultHarness.of(["a"], poisoned)
    assert post(chat("easy question"), engine=harness.engine).status_code == 200
    away = post(
        chat("easy question"), engine=FailoverEngine(Absent(poisoned, ["a"]), queue_seconds=3)
    )
    assert (away.status_code, away.json()["error"]["code"]) == (503, "engine_unavailable")


async def test_only_the_replica_that_has_a_query_is_told_to_end_a_chain() -> None:
    """Of a thousand replicas, telling all would be a thousand calls."""
    told: list[str] = []

    class Told(SimulatedEngine):
        async def cancel(self, query: str, chain: int | None = None) -> None:
            told.append(self.replica)
            await super().cancel(query, chain)

        async def conclude(self, query: str, chain: int) -> None:
            told.append(self.replica)
            await super().conclude(query, chain)

    pool = LocalEnginePool(lambda name: Told(replica=name), ("a", "b", "c"))
    engine, events = FailoverEngine(pool), []
    async for event in engine.sample(request(3)):
        events.append(event)
        if isinstance(event, Accepted):
            await engine.conclude("q", 0)
            await engine.cancel("q", 1)
    ended = samples(events)
    assert told == [ended[0].replica] * 2
    assert (ended[0].stop_cause, ended[1].stop_cause) == ("early_exit", "cancelled")
    await engine.cancel("nobody has it")
    assert sorted(told[2:]) == ["a", "b", "c"]
