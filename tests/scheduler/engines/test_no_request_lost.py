"""Whatever happens to the engines, and whenever: every request ends once, whole, and within bounds.

Engines of the toy core, so that every token is known; time is virtual and goes on step by step.
"""

import asyncio
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from policies.plan import Budget
from policies.sampling import SamplingParams
from scheduler.engines.failover import FailoverEngine
from scheduler.engines.local_pool import LocalEnginePool
from scheduler.errors import Overloaded, PoisonRequest
from scheduler.solving.ledger import Account, Ledger
from workers.drivers.chain_engine import ChainEngine, ChainOptions
from workers.engine import SampleRequest
from workers.format import S1, bind
from workers.models import POCKET_FOLDER
from workers.sample import Accepted, Delta, Sample
from workers.simulated.clock import VirtualTimeLoop, run_virtual
from workers.simulated.toy_core import ToyCore

NAMES = ["a", "b", "c"]
SECONDS_PER_TOKEN = 0.01
FORCING = Budget(120, extensions=2, answer_tokens=20)
WORST = 120 + 30 + 20 + 40
SETTLE_SECONDS = 300.0


@cache
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(POCKET_FOLDER), local_files_only=True)


def engine(replica: str) -> ChainEngine:
    known = tokenizer()
    format_ = bind(S1, known)
    special = {*known.all_special_ids}
    core = ToyCore(
        format_,
        [token for token in range(len(known)) if token not in special],
        vocabulary=len(known),
        one_in=150,
        seconds_per_token=SECONDS_PER_TOKEN,
    )
    return ChainEngine(core, format_, ChainOptions("toy", replica=replica))


@dataclass
class Asked:
    request: SampleRequest
    account: Account
    task: "asyncio.Task[None]" = field(init=False)
    reserved: int = 0
    accepted: int = 0
    text: str = ""
    samples: list[Sample] = field(default_factory=list)
    error: Exception | None = None
    cancelled: bool = False

    async def run(self, on: Any) -> None:
        self.reserved = WORST * len(self.request.chains)
        self.account.reserve(self.reserved)
        try:
            async for event in on.sample(self.request):
                self.accepted += isinstance(event, Accepted)
                if isinstance(event, Delta):
                    self.text += event.text
                if isinstance(event, Sample):
                    self.samples.append(event)
        except (Overloaded, PoisonRequest) as error:
            self.error = error
        finally:
            spent = sum(sample.tokens for sample in self.samples)
            self.account.settle(reserved=self.reserved, spent=spent)


@cache
def undisturbed(messages: tuple[tuple[str, str], ...]) -> Asked:
    """What comes of a question when nothing happens; greedy chains are all alike."""
    asked = Asked(
        SampleRequest("calm", messages, (0, 1, 2), FORCING, SamplingParams(0.0), stream=0),
        Ledger().open(),
    )

    async def scenario() -> None:
        await asked.run(engine("calm"))

    run_virtual(scenario())
    return asked


class Faults(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.ledger, self.asked = Ledger(), list[Asked]()
        self.down: set[str] = set()
        self.hung: set[str] = set()
        self.do(self.begin())

    def do(self, what: Any) -> Any:
        return self.loop.run_until_complete(what)

    async def begin(self) -> None:
        self.pool = LocalEnginePool(engine, NAMES)
        self.engine = FailoverEngine(self.pool, watchdog_seconds=5.0, queue_seconds=20.0)

    @initialize(chains=st.lists(st.integers(1, 3), min_size=2, max_size=4))
    def some_are_asked_at_once(self, chains: list[int]) -> None:
        for question, count in enumerate(chains):
            self.submit(question, count, True)

    @rule(question=st.integers(0, 5), chains=st.integers(1, 3), live=st.booleans())
    def submit(self, question: int, chains: int, live: bool) -> None:
        request = SampleRequest(
            query=f"q{len(self.asked)}",
            messages=(("user", f"what is {question}?"),),
            chains=tuple(range(chains)),
            budget=FORCING,
            sampling=SamplingParams(0.0),
            stream=0 if live else None,
        )
        asked = Asked(request, self.ledger.open())
        self.asked.append(asked)

        async def start() -> None:
            asked.task = asyncio.create_task(asked.run(self.engine))
            await asyncio.sleep(0)

        self.do(start())

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.3, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @precondition(lambda self: len(self.down) < len(NAMES))
    @rule(
        data=st.data(),
        after=st.integers(0, 60),
        how=st.sampled_from(["kill", "core", "hang", "drain"]),
    )
    def an_engine_fails(self, data: st.DataObject, after: int, how: str) -> None:
        self.do(asyncio.sleep(after * SECONDS_PER_TOKEN))
        name = data.draw(st.sampled_from(sorted({*NAMES} - self.down)))

        async def fail() -> None:
            if how == "core":
                self.pool.replicas[name].engine.core.kill()  # type: ignore[attr-defined]
                await asyncio.sleep(0.05)
                self.pool.kill(name)  # its replica leaves
            else:
                getattr(self.pool, how)(name)
            await asyncio.sleep(0)

        self.do(fail())
        if how == "hang":
            self.hung.add(name)
        else:
            self.down.add(name)
            self.hung.discard(name)

    @precondition(lambda self: self.down or self.hung)
    @rule(data=st.data())
    def an_engine_comes_back(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.down | self.hung)))

        async def come() -> None:
            if name in self.down:
                self.pool.start(name)
            else:
                self.pool.wake(name)

        self.do(come())
        self.down.discard(name)
        self.hung.discard(name)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), after=st.integers(0, 30))
    def cancel(self, data: st.DataObject, after: int) -> None:
        self.do(asyncio.sleep(after * SECONDS_PER_TOKEN))
        asked = data.draw(st.sampled_from(self.asked))
        asked.cancelled |= not asked.task.done()
        self.do(self.engine.cancel(asked.request.query))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def the_client_goes_away(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(self.asked))
        asked.cancelled |= not asked.task.done()
        asked.task.cancel()
        self.do(asyncio.sleep(0))

    @invariant()
    def nothing_is_doubled_and_nothing_is_missing(self) -> None:
        for asked in self.asked:
            chains = [sample.chain for sample in asked.samples]
            assert len({*chains}) == len(chains)
            assert asked.accepted <= 1
            whole = undisturbed(asked.request.messages)
            assert whole.text.startswith(asked.text)
            for sample in asked.samples:
                assert sample.violations == ()
                if sample.stop_cause != "cancelled":
                    assert same(sample) == same(whole.samples[sample.chain])
            spent = sum(sample.tokens for sample in asked.samples)
            assert spent <= WORST * len(asked.request.chains)

    def teardown(self) -> None:
        """Once there are engines, whatever is asked ends; and then nothing is left behind."""

        async def calm() -> None:
            for name in NAMES:
                if name in self.down:
                    self.pool.start(name)
                self.pool.wake(name)
            await asyncio.sleep(SETTLE_SECONDS)
            await self.engine.close()
            await asyncio.sleep(1)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        try:
            self.do(calm())
            self.nothing_is_doubled_and_nothing_is_missing()
            for asked in self.asked:
                assert asked.task.done()
                if asked.error is None and not asked.cancelled:
                    assert len(asked.samples) == len(asked.request.chains)
                    assert all(sample.stop_cause != "cancelled" for sample in asked.samples)
                    if asked.request.stream is not None:
                        assert asked.text == undisturbed(asked.request.messages).text
            assert (self.ledger.reserved, self.engine._in_flight) == (0, set())
            assert self.engine._suspects.on_probation == 0
            assert all(not one.calls for one in self.pool.replicas.values())
            assert all(not one.engine._running for one in self.pool.replicas.values())  # type: ignore[attr-defined]
        finally:
            self.loop.close()


def same(sample: Sample) -> Sample:
    return replace(sample, chain=0, migrations=0, replica="", seconds=0.0)


TestFaults = pytest.mark.slow(Faults.TestCase)
TestFaults.settings = settings(
    max_examples=60,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
