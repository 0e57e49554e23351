"""The fleet, or a part of it, in one process on virtual time: real gateways, simulated engines.

Controllers, each with its routing table, its cache of curves, its price and its spool, over engines
of which some die and come back; one curve store, on a core of its own, and one outcome store.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from time import process_time
from typing import Any, NamedTuple

import numpy as np

from benchmarks.fleet.scale import CLASSES, ENGINES, GATEWAYS, Core
from policies import build
from policies.base import Message, Query
from policies.price import Price
from scheduler.curves.cache import CurveCache, keep_exchanging
from scheduler.curves.exchange import PackedUpdate, Report
from scheduler.curves.feedback import FeedbackResult, Label
from scheduler.curves.pace import Pace
from scheduler.curves.wal import DurableCurveStore
from scheduler.engines.failover import FailoverEngine
from scheduler.engines.local_pool import LocalEnginePool, RoutedPool
from scheduler.engines.routing import RoutingTable
from scheduler.errors import PoisonRequest
from scheduler.progress import Progress
from scheduler.solving.controller import Controller
from scheduler.solving.pricing import Pricing
from scheduler.store.outcome_store import OutcomeStore, Written
from scheduler.store.queries import find
from scheduler.store.settings import StoreConfig
from scheduler.store.writer import StoreWriter
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import LAWS, reference

TOKENS_A_SECOND = 40.0
REPORT_SECONDS = 1.0
DOWN_SECONDS = 30.0


class Traffic(NamedTuple):
    """`requests` in `seconds` of simulated time, `deaths` of engines meanwhile; `tokens` is the
    goal of a query's mean, None for a fixed price.
    """

    requests: int
    seconds: float
    deaths: int
    tokens: float | None = None
    gateways: int = GATEWAYS
    engines: int = ENGINES
    classes: int = CLASSES


class Played(NamedTuple):
    """What came of it. `cpu` is of the gateways and their simulated engines, for one request."""

    asked: int
    answered: int
    observed: int
    stored: int
    dropped: int
    deaths: int
    migrations: int
    replayed: int
    cpu: float
    #: Mean tokens of a query in the second half of the time.
    tokens: float
    accuracy: float
    #: The prices of the gateways at the end: least, median and most.
    prices: tuple[float, float, float]

    @property
    def lost(self) -> int:
        """Requests without an answer, and observations and outcomes that did not arrive."""
        missing = (self.answered - self.observed, self.answered - self.stored)
        return self.asked - self.answered + sum(map(abs, missing)) + self.dropped


class _Curves:
    """The curve store without a network, on a core of its own."""

    def __init__(self, store: DurableCurveStore, core: Core) -> None:
        self.store, self.core = store, core

    async def exchange(self, report: Report, epoch: str, version: int) -> PackedUpdate:
        with self.core.working(asyncio.get_running_loop().time()):
            return self.store.exchange(report, epoch, version)

    async def label(self, label: Label) -> FeedbackResult:
        return await self.store.label(label)

    async def export(self) -> dict[str, Any]:
        return await self.store.export()


class _Sink:
    """The outcome store, written to in the loop: virtual time does not wait for threads."""

    def __init__(self, store: OutcomeStore) -> None:
        self._store = store

    async def write(self, lines: list[bytes]) -> Written:
        return self._store.write(lines)

    async def close(self) -> None:
        """The store is closed by whoever opened it."""


class _Gateway:
    def __init__(
        self, number: int, fleet: LocalEnginePool, curves: _Curves, store: OutcomeStore,
        folder: Path, tokens: float | None,
    ) -> None:  # fmt: skip
        loop = asyncio.get_running_loop()
        self.pool = RoutedPool(fleet, RoutingTable(64, clock=loop.time, rng=Random(number)))
        self.engine = FailoverEngine(self.pool)
        self.cache = CurveCache(curves)
        config = StoreConfig(url=str(store.url), spool=str(folder / f"spool {number}"))
        self.writer = StoreWriter(config, _Sink(store))
        self.price = Price.for_tokens(tokens, 3e-4) if tokens else Price(3e-4)

    async def controller(self) -> Controller:
        return Controller(
            engine=self.engine, info=await self.engine.info(), policy=build("priced"),
            curves=self.cache, pricing=Pricing(self.price), store=self.writer,
        )  # fmt: skip

    async def report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            self.pool.report()


async def _kill(fleet: LocalEnginePool, deaths: int, seconds: float, rng: Random) -> None:
    """Engines die at even times, and come back."""
    loop = asyncio.get_running_loop()
    for _ in range(deaths):
        await asyncio.sleep(seconds / (deaths + 1))
        name = rng.choice(sorted(fleet.replicas))
        fleet.kill(name)
        loop.call_later(DOWN_SECONDS, fleet.start, name)


@asynccontextmanager
async def _running(*tasks: Any) -> AsyncIterator[None]:
    started = [asyncio.create_task(task) for task in tasks]
    try:
        yield
    finally:
        for task in started:
            task.cancel()
        for task in started:
            with suppress(asyncio.CancelledError):
                await task


def play(traffic: Traffic, bar: Progress) -> Played:
    with tempfile.TemporaryDirectory() as name:
        folder, core = Path(name), Core()
        with (
            OutcomeStore(str(folder / "outcomes.db")) as store,
            DurableCurveStore(
                folder / "curves.json", pace=Pace(clock=core.now), clock=core.now
            ) as curves,
        ):
            return run_virtual(_play(traffic, _Curves(curves, core), store, folder, bar))


async def _play(
    traffic: Traffic, shared: _Curves, store: OutcomeStore, folder: Path, bar: Progress
) -> Played:
    rng, loop = Random(7), asyncio.get_running_loop()
    names = [f"engine {number}" for number in range(traffic.engines)]

    def engine(name: str) -> SimulatedEngine:
        return SimulatedEngine(replica=name, tokens_per_second=TOKENS_A_SECOND)

    fleet = LocalEnginePool(engine, names)
    gateways = [
        _Gateway(number, fleet, shared, store, folder, traffic.tokens)
        for number in range(traffic.gateways)
    ]
    controllers = [await gateway.controller() for gateway in gateways]
    late: list[tuple[int, bool]] = []
    answered = 0

    async def ask(number: int) -> None:
        nonlocal answered
        kind = rng.choice([*LAWS])
        text = f"{kind} question {number}"
        labelled = reference(text) if rng.random() < 0.1 else None
        query = Query(
            f"q{number}", (Message("user", text),), f"class {rng.randrange(traffic.classes)}",
            reference=labelled,
        )  # fmt: skip
        asked_at = loop.time()
        try:
            outcome = await controllers[number % traffic.gateways].answer(query)
        except PoisonRequest:  # it was on two engines that died, and alone on both
            return
        answered += 1
        if asked_at > traffic.seconds / 2:
            late.append((outcome.tokens.total, outcome.answer == reference(text)))
        if number % 100 == 99:
            bar.advance(f"{traffic.seconds:.0f} s of the fleet")

    began = process_time()
    async with (
        _running(
            *(keep_exchanging(gateway.cache) for gateway in gateways),
            *(gateway.writer.run() for gateway in gateways),
            *(gateway.report() for gateway in gateways),
            _kill(fleet, traffic.deaths, traffic.seconds, rng),
        ),
        asyncio.TaskGroup() as group,
    ):
        for number in range(traffic.requests):
            group.create_task(ask(number))
            await asyncio.sleep(rng.expovariate(traffic.requests / traffic.seconds))
    cpu = (process_time() - began - shared.core.busy) / traffic.requests
    for gateway in gateways:
        while gateway.cache.waiting:
            await gateway.cache.exchange()
        await gateway.writer.flush(60)
        await gateway.writer.close()
    counts = sum((gateway.engine.counts for gateway in gateways[1:]), gateways[0].engine.counts)
    with store.transaction() as connection:
        kept = {each["id"] for each in find(connection)}
    prices = sorted(controller.pricing.price.per_token for controller in controllers)
    return Played(
        traffic.requests,
        answered,
        shared.store.store._observed,
        len(kept),
        sum(gateway.cache.dropped + gateway.writer.counts.dropped for gateway in gateways),
        counts["deaths"],
        counts["migrations"],
        counts["replayed_tokens"],
        cpu,
        float(np.mean([tokens for tokens, _ in late])),
        float(np.mean([ok for _, ok in late])),
        (prices[0], prices[len(prices) // 2], prices[-1]),
    )
