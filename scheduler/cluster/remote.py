"""The engine replicas seen from a gateway: an `Engine` again. Imports ray."""

import logging
from collections.abc import AsyncGenerator

from ray.exceptions import RayActorError
from ray.serve.handle import DeploymentHandle

from scheduler.cluster.replica import EngineReplica
from workers.engine import EngineInfo, Event, Load, Refused, SampleRequest
from workers.sample import Sample, lost

log = logging.getLogger("thinkbudget")


class RemoteEngine:
    def __init__(self, handle: "DeploymentHandle[EngineReplica]") -> None:
        self._handle = handle
        self._stream = handle.options(stream=True)

    async def info(self) -> EngineInfo:
        info: EngineInfo = await self._handle.info.remote()
        return info

    async def load(self) -> Load:
        load: Load = await self._handle.load.remote()
        return load

    async def cancel(self, query: str, chain: int | None = None) -> None:
        await self._handle.broadcast("cancel", query, chain).results_async()

    async def conclude(self, query: str, chain: int) -> None:
        await self._handle.broadcast("conclude", query, chain).results_async()

    async def check(self) -> None:
        await self._handle.check.remote()

    async def close(self) -> None:
        """Replicas end with the application."""

    async def sample(self, request: SampleRequest) -> AsyncGenerator[Event]:
        waiting = set(request.chains)
        response = self._stream.sample.remote(request)
        try:
            async for batch in response:
                if isinstance(batch, Refused):
                    raise batch
                for event in batch:
                    if isinstance(event, Sample):
                        waiting.discard(event.chain)
                    yield event
        except RayActorError as error:
            log.warning("query %s: an engine died: %s", request.query, type(error).__name__)
            for chain in sorted(waiting):
                yield lost(chain)
        finally:
            response.cancel()
