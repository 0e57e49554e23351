"""A fleet of engines in this process, each of which can be killed, hung, drained and brought back.

For tests, demonstrations and drills of what happens when engines fail: all but the network is real.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from scheduler.engines.multiplex_server import Frame
from scheduler.engines.pool import EngineDied, EventBatch, Taken
from scheduler.engines.pool_calls import PoolCalls
from scheduler.engines.replica_calls import ReplicaCalls
from scheduler.engines.routing import (
    Backlog,
    PendingWork,
    RoutingConstraints,
    RoutingTable,
    expected,
)
from workers.completion import CompletionEvent, CompletionRequest
from workers.engine import Engine, EngineInfo, Load, ReplicaStatus, SampleRequest

T = TypeVar("T")


@dataclass(slots=True)
class _Replica:
    name: str
    engine: Engine
    running: ReplicaCalls = field(init=False)
    #: Set when it is killed.
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    #: Not set while it hangs.
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    #: The numbers of the calls that it has taken.
    calls: set[int] = field(default_factory=set)
    backlog: Backlog = field(default_factory=Backlog)

    def __post_init__(self) -> None:
        self.running = ReplicaCalls(self.engine, self.name)
        self.awake.set()


class LocalEnginePool:
    """`make` gives the engine of a replica; it is asked again when the replica comes back."""

    def __init__(self, make: Callable[[str], Engine], names: Iterable[str]) -> None:
        self._make = make
        self._there = asyncio.Event()
        self._calls = PoolCalls(lambda name: lambda: self._open_stream(name))
        self.replicas: dict[str, _Replica] = {}
        self._all: dict[str, _Replica] = {}
        for name in names:
            self.start(name)

    def start(self, name: str) -> None:
        """A fresh replica of this name, in the place of any there is."""
        if name in self._all:
            self._all[name].dead.set()
        self.replicas[name] = self._all[name] = _Replica(name, self._make(name))
        self._there.set()

    def kill(self, name: str) -> None:
        """Nothing more comes of it; its callers notice at once."""
        self.replicas.pop(name).dead.set()

    def hang(self, name: str) -> None:
        """Nothing more comes of it, and its callers notice nothing."""
        self.replicas[name].awake.clear()

    def wake(self, name: str) -> None:
        self.replicas[name].awake.set()

    def drain(self, name: str) -> None:
        """Its chains go on elsewhere, and it takes no more."""
        self.replicas.pop(name).running.drain()

    def call(
        self, request: SampleRequest, affinity: str | None, avoid: tuple[str, ...]
    ) -> AsyncGenerator[EventBatch]:
        @asynccontextmanager
        async def send(number: int) -> AsyncIterator[str]:
            replica = await self._route(affinity, avoid, expected(request), number)
            run = replica.running.run(request, self._calls.gateway, number)
            replica.calls.add(number)
            try:
                with replica.backlog.owing(request):
                    async with aclosing(run) as taken:
                        message = await _until_dead(replica, anext(taken))
                        await replica.awake.wait()
                        yield message.replica
            finally:
                replica.calls.discard(number)
                self._ended(number)

        return self._calls.run(send)

    @asynccontextmanager
    async def _open_stream(self, name: str) -> AsyncIterator[AsyncGenerator[tuple[Frame, ...]]]:
        replica = self._all[name]

        async def messages() -> AsyncGenerator[tuple[Frame, ...]]:
            async with aclosing(replica.running.server(self._calls.gateway).stream()) as stream:
                while (frames := await _until_dead(replica, anext(stream, None))) is not None:
                    await _until_dead(replica, replica.awake.wait())
                    yield frames

        async with aclosing(messages()) as opened:
            yield opened

    async def _route(
        self, affinity: str | None, avoid: tuple[str, ...], owed: PendingWork, call: int
    ) -> _Replica:
        """Where a call goes, and how much it is expected to cost there."""
        return await self._choose(affinity, avoid)

    async def _choose(self, affinity: str | None, avoid: tuple[str, ...]) -> _Replica:
        while not self.replicas:
            self._there.clear()
            await self._there.wait()
        fit = {name: one for name, one in self.replicas.items() if name not in avoid}
        fit = fit or self.replicas
        if affinity in fit:
            return fit[affinity]
        return min(fit.values(), key=lambda replica: len(replica.calls))

    def _ended(self, call: int) -> None:
        """A call is over, however it ended."""

    async def complete(
        self, request: CompletionRequest, avoid: tuple[str, ...]
    ) -> AsyncGenerator[Taken | CompletionEvent]:
        replica = await self._choose(None, avoid)
        yield Taken(replica.name)
        async with aclosing(replica.engine.complete(request)) as events:
            while (event := await _until_dead(replica, anext(events, None))) is not None:
                await _until_dead(replica, replica.awake.wait())
                yield event

    async def cancel(
        self, query: str, chain: int | None = None, *, replica: str | None = None
    ) -> None:
        for each in self._told(replica):
            await each.engine.cancel(query, chain)

    async def conclude(self, query: str, chain: int, *, replica: str | None = None) -> None:
        for each in self._told(replica):
            await each.engine.conclude(query, chain)

    def _told(self, replica: str | None) -> list[_Replica]:
        """One replica, or all; without those that hang, or are gone."""
        there = [*self.replicas.values()]
        if replica is not None:
            there = [self.replicas[replica]] if replica in self.replicas else []
        return [each for each in there if each.awake.is_set()]

    async def info(self) -> EngineInfo:
        return await self._any().engine.info()

    async def load(self) -> Load:
        loads = [await replica.engine.load() for replica in self.replicas.values()]
        running, waiting = sum(load.running for load in loads), sum(load.waiting for load in loads)
        return Load(running, waiting, max((load.utilisation for load in loads), default=0.0))

    async def replica_statuses(self) -> tuple[ReplicaStatus, ...]:
        there = self.replicas.values()
        loads = [(one, await one.engine.load()) for one in [*there] if one.awake.is_set()]
        return tuple(ReplicaStatus(one.name, *load, one.backlog.owed.tokens) for one, load in loads)

    async def check(self) -> None:
        await self._any().engine.check()

    async def close(self) -> None:
        for replica in self._all.values():
            replica.dead.set()
            await replica.engine.close()

    def _any(self) -> _Replica:
        if not self.replicas:
            raise EngineDied("has no replica")
        return next(iter(self.replicas.values()))


class RoutedPool(LocalEnginePool):
    """One of many gateways to the replicas of another pool, with a routing table of its own."""

    def __init__(self, fleet: LocalEnginePool, routes: RoutingTable) -> None:
        super().__init__(fleet._make, ())
        self.replicas, self._all, self._there = fleet.replicas, fleet._all, fleet._there
        self._routes = routes
        self.report()

    def report(self) -> None:
        """What every replica owes, as it says about once a second."""
        self._names = [*self.replicas]
        self._routes.keep(self.replicas.keys())
        for name, replica in self.replicas.items():
            self._routes.report(name, replica.backlog.owed, replica.backlog.version)

    async def _route(
        self, affinity: str | None, avoid: tuple[str, ...], owed: PendingWork, call: int
    ) -> _Replica:
        ranked = self._routes.rank(self._names, RoutingConstraints(owed, affinity, avoid))
        there = next((name for name in ranked if name in self.replicas), None)
        replica = await self._choose(affinity, avoid) if there is None else self.replicas[there]
        self._routes.send(str(call), replica.name, owed)
        self._routes.take(str(call))
        return replica

    def _ended(self, call: int) -> None:
        self._routes.end(str(call))


async def _until_dead(replica: _Replica, awaited: Awaitable[T]) -> T:
    """The result. Raises EngineDied as soon as the replica is killed."""
    waiting, dying = asyncio.ensure_future(awaited), asyncio.ensure_future(replica.dead.wait())
    try:
        await asyncio.wait([waiting, dying], return_when=asyncio.FIRST_COMPLETED)
        if replica.dead.is_set():
            raise EngineDied("was killed")
        return waiting.result()
    finally:
        waiting.cancel()
        dying.cancel()
        await asyncio.gather(waiting, dying, return_exceptions=True)
