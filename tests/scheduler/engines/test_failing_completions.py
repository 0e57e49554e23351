"""Engines die under completions: these begin anew, and those that kill engines are refused."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from policies.plan import Budget
from policies.sampling import SamplingParams
from scheduler.engines.failover import COMPLETION_ATTEMPTS, FailoverEngine
from scheduler.engines.local_pool import LocalEnginePool
from scheduler.engines.pool import EngineDied, Taken
from scheduler.errors import PoisonRequest
from workers.completion import Completed, CompletionEvent, CompletionRequest, CompletionText
from workers.engine import EngineEvent, SampleRequest
from workers.sample import Accepted, Sample
from workers.simulated.engine import SimulatedEngine

WHOLE: list[CompletionEvent] = [Accepted(3), CompletionText("whole"), Completed("stop", 2)]


class Scripted(SimulatedEngine):
    """Its first completions have the events that are left in `script`, all others are whole."""

    def __init__(self, script: list[list[CompletionEvent]]) -> None:
        super().__init__()
        self._script = script

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        for event in self._script.pop(0) if self._script else WHOLE:
            yield event


async def completed(engine: FailoverEngine, request: CompletionRequest) -> list[CompletionEvent]:
    return [event async for event in engine.complete(request)]


async def scripted(*script: list[CompletionEvent], live: bool = False) -> list[CompletionEvent]:
    """The events of a completion on three engines with this script."""
    left = [*script]
    engine = FailoverEngine(LocalEnginePool(lambda name: Scripted(left), ["a", "b", "c"]))
    return await completed(engine, CompletionRequest("q", "text", live=live))


async def test_a_completion_whose_engine_was_lost_begins_anew_with_one_accepted() -> None:
    assert await scripted([Accepted(3), Completed("lost", 0)]) == WHOLE


async def test_a_text_that_is_wanted_whole_begins_anew_though_half_of_it_had_come() -> None:
    half: list[CompletionEvent] = [Accepted(3), CompletionText("half"), Completed("lost", 1)]
    assert await scripted(half) == WHOLE


async def test_a_streamed_text_does_not_begin_anew_once_some_of_it_was_passed_on() -> None:
    half: list[CompletionEvent] = [Accepted(3), CompletionText("half"), Completed("lost", 1)]
    *before, last = await scripted(half, live=True)
    assert before == half[:2]
    assert isinstance(last, Completed) and last.finish == "lost"


class Unreachable(LocalEnginePool):
    """No replica takes a completion."""

    asked = 0

    async def complete(
        self, request: CompletionRequest, avoid: tuple[str, ...]
    ) -> AsyncGenerator[Taken | CompletionEvent]:
        self.asked += 1
        raise EngineDied("cannot be reached")
        yield Completed("lost", 0)


async def test_a_completion_that_no_replica_has_taken_has_killed_none() -> None:
    pool = Unreachable(lambda name: SimulatedEngine(), ["a"])
    engine = FailoverEngine(pool)
    for turn in range(1, 4):
        assert await completed(engine, CompletionRequest("q", "text")) == [Completed("lost", 0)]
        assert pool.asked == COMPLETION_ATTEMPTS * turn
    assert not engine.counts


class Killable(SimulatedEngine):
    """A prompt of "poison" kills it after a while; all other completions take a second."""

    def __init__(self, replica: str, seconds: float, on_death: Callable[[str], None]) -> None:
        super().__init__(tokens_per_second=100.0, replica=replica)
        self._seconds, self._on_death = seconds, on_death

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        yield Accepted(3)
        if request.prompt == "poison":
            await asyncio.sleep(self._seconds)
            self._on_death(self.replica)
            await asyncio.sleep(60.0)
        await asyncio.sleep(1.0)
        yield CompletionText("whole")
        yield Completed("stop", 2)


class Hospital:
    """Replicas that are killed by poison, and replaced under another name after two seconds."""

    def __init__(self, size: int, seconds: float) -> None:
        self._seconds, self.deaths = seconds, 0
        self.pool = LocalEnginePool(self._make, [f"{number}" for number in range(size)])
        self.engine = FailoverEngine(self.pool)

    def _make(self, replica: str) -> Killable:
        return Killable(replica, self._seconds, self._die)

    def _die(self, replica: str) -> None:
        self.deaths += 1
        self.pool.kill(replica)
        asyncio.get_running_loop().call_later(2.0, self.pool.start, f"new {self.deaths}")

    def complete(self, prompt: str) -> "asyncio.Task[list[CompletionEvent]]":
        return asyncio.create_task(completed(self.engine, CompletionRequest(prompt, prompt)))


@pytest.mark.parametrize("seconds", [0.0, 0.3])
@pytest.mark.parametrize("neighbours", [0, 1, 5])
@pytest.mark.parametrize("size", [1, 3])
async def test_a_completion_that_kills_engines_is_refused_and_its_neighbours_are_answered(
    size: int, neighbours: int, seconds: float
) -> None:
    hospital = Hospital(size, seconds)
    innocent = [hospital.complete(f"innocent {number}") for number in range(neighbours)]
    with pytest.raises(PoisonRequest):
        await hospital.complete("poison")
    for asking in innocent:
        assert await asking == WHOLE
    assert hospital.deaths == 2
    for _ in range(3):
        with pytest.raises(PoisonRequest):
            await hospital.complete("poison")
    assert hospital.deaths == 2
    assert hospital.engine.counts["deaths"] == 2
    assert hospital.engine.counts["poison"] == 4


async def test_chains_beside_a_completion_that_kills_engines_are_finished() -> None:
    hospital = Hospital(1, 0.3)
    request = SampleRequest("q", (("user", "what?"),), (0, 1), Budget(300), SamplingParams(1.0))

    async def sampled() -> list[EngineEvent]:
        return [event async for event in hospital.engine.sample(request)]

    sampling = asyncio.create_task(sampled())
    await asyncio.sleep(0.5)
    with pytest.raises(PoisonRequest):
        await hospital.complete("poison")
    samples = [event for event in await sampling if isinstance(event, Sample)]
    assert sorted(sample.chain for sample in samples) == [0, 1]
    assert {sample.stop_cause for sample in samples} <= {"natural", "budget"}
    assert hospital.deaths == 2


async def test_a_completion_that_is_given_up_frees_its_turn_on_probation() -> None:
    hospital = Hospital(1, 0.3)
    first = hospital.complete("poison")
    await asyncio.sleep(0.4)
    first.cancel()
    second = hospital.complete("poison")
    with pytest.raises(PoisonRequest):
        await second
    assert await hospital.complete("innocent") == WHOLE
