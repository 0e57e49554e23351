"""A fleet of engines in this process, each of which can be killed, hung, drained and brought back.

For tests, demonstrations and drills of what happens when engines fail: all but the network is real.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from scheduler.engines.event_batcher import EventBatcher
from scheduler.engines.pool import EngineDied, EventBatch
from workers.completion import CompletionEvent, CompletionRequest
from workers.engine import Engine, EngineInfo, Load, SampleRequest


@dataclass(slots=True)
class _Replica:
    name: str
    engine: Engine
    pump: EventBatcher = field(init=False)
    dead: bool = False
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    calls: set["asyncio.Task[None]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.pump = EventBatcher(self.engine, self.name)
        self.awake.set()


class LocalEnginePool:
    """`make` gives the engine of a replica; it is asked again when the replica comes back."""

    def __init__(self, make: Callable[[str], Engine], names: Iterable[str]) -> None:
        self._make = make
        self._there = asyncio.Event()
        self.replicas: dict[str, _Replica] = {}
        for name in names:
            self.start(name)

    def start(self, name: str) -> None:
        """A fresh replica of this name, in the place of any there is."""
        self.replicas[name] = _Replica(name, self._make(name))
        self._there.set()

    def kill(self, name: str) -> None:
        """Nothing more comes of it; who waits for it learns at once."""
        replica = self.replicas.pop(name)
        replica.dead = True
        for call in replica.calls:
            call.cancel()

    def hang(self, name: str) -> None:
        """Nothing more comes of it, and nobody learns."""
        self.replicas[name].awake.clear()

    def wake(self, name: str) -> None:
        self.replicas[name].awake.set()

    def drain(self, name: str) -> None:
        """Its chains are handed over, and it takes no more."""
        self.replicas.pop(name).pump.drain()

    async def call(
        self, request: SampleRequest, home: str | None, avoid: tuple[str, ...]
    ) -> AsyncGenerator[EventBatch]:
        replica = await self._choose(home, avoid)
        out: asyncio.Queue[EventBatch | None] = asyncio.Queue()

        async def follow() -> None:
            try:
                async with aclosing(replica.pump.sample(request)) as batches:
                    async for batch in batches:
                        await replica.awake.wait()
                        out.put_nowait(batch)
            finally:
                out.put_nowait(None)

        following = asyncio.create_task(follow())
        replica.calls.add(following)
        try:
            while (batch := await out.get()) is not None:
                yield batch
            if replica.dead:
                raise EngineDied(f"{replica.name} was killed")
            following.result()
        finally:
            replica.calls.discard(following)
            following.cancel()
            await asyncio.wait([following])

    async def _choose(self, home: str | None, avoid: tuple[str, ...]) -> _Replica:
        while not self.replicas:
            self._there.clear()
            await self._there.wait()
        fit = {name: one for name, one in self.replicas.items() if name not in avoid}
        fit = fit or self.replicas
        if home in fit:
            return fit[home]
        return min(fit.values(), key=lambda replica: len(replica.calls))

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        replica = await self._choose(None, ())
        async with aclosing(replica.engine.complete(request)) as events:
            async for event in events:
                if replica.dead:
                    raise EngineDied(f"{replica.name} was killed")
                yield event

    async def cancel(self, query: str, chain: int | None = None) -> None:
        for replica in [*self.replicas.values()]:
            if replica.awake.is_set():
                await replica.engine.cancel(query, chain)

    async def conclude(self, query: str, chain: int) -> None:
        for replica in [*self.replicas.values()]:
            if replica.awake.is_set():
                await replica.engine.conclude(query, chain)

    async def info(self) -> EngineInfo:
        return await self._any().engine.info()

    async def load(self) -> Load:
        loads = [await replica.engine.load() for replica in self.replicas.values()]
        running, waiting = sum(load.running for load in loads), sum(load.waiting for load in loads)
        return Load(running, waiting, max((load.utilisation for load in loads), default=0.0))

    async def check(self) -> None:
        await self._any().engine.check()

    async def close(self) -> None:
        for replica in self.replicas.values():
            await replica.engine.close()

    def _any(self) -> _Replica:
        if not self.replicas:
            raise EngineDied("there is no replica")
        return next(iter(self.replicas.values()))
