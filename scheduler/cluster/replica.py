"""One engine behind Ray Serve. Imports ray."""

import contextlib
import logging
import os
from collections.abc import AsyncGenerator

import psutil
from ray import serve

from scheduler.config import EngineConfig
from scheduler.engines import make_engine
from workers.engine import EngineInfo, Event, Load, Refused, SampleRequest
from workers.sample import Accepted, Sample

log = logging.getLogger("thinkbudget")

Batch = list[Event] | Refused


class EngineReplica:
    """One engine. What is ready together travels together: a message costs more than an event.

    A replica whose engine has died, or hangs, leaves at once: a dead engine answers fastest, and
    would attract requests until Serve has failed its health three times.
    """

    def __init__(self, config: EngineConfig) -> None:
        name = serve.get_replica_context().replica_id.unique_id
        self._engine = make_engine(config, replica=name)

    async def info(self) -> EngineInfo:
        return await self._engine.info()

    async def load(self) -> Load:
        return await self._engine.load()

    async def cancel(self, query: str, chain: int | None = None) -> None:
        await self._engine.cancel(query, chain)

    async def conclude(self, query: str, chain: int) -> None:
        await self._engine.conclude(query, chain)

    async def check(self) -> None:
        try:
            await self._engine.check()
        except Exception as error:
            log.error("this engine is replaced: %s", error)
            _leave()

    async def check_health(self) -> None:
        await self.check()

    async def sample(self, request: SampleRequest) -> AsyncGenerator[Batch]:
        held: list[Event] = []
        try:
            async for event in self._engine.sample(request):
                held.append(event)
                # Without a stream nobody needs to know early that the request was taken.
                if request.stream is not None or not isinstance(event, Accepted):
                    yield held
                    held = []
                if isinstance(event, Sample) and event.stop_cause == "lost":
                    await self.check()
        except Refused as refused:
            yield refused

    async def __del__(self) -> None:
        await self._engine.close()


def _leave() -> None:
    """End this process and all that it started, a core that is stopped or stuck included."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)
