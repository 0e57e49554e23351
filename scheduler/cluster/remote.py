"""The engine replicas as a gateway sees them: an `EnginePool`. Imports ray."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from scheduler.cluster.replica import EngineReplica
from scheduler.cluster.unreachable import UNREACHABLE
from scheduler.engines.pool import EngineDied, EventBatch, Taken
from scheduler.engines.pool_calls import PoolCalls
from scheduler.engines.routing import TargetReplica
from workers.completion import CompletionEvent, CompletionRequest
from workers.engine import EngineInfo, Load, Refused, ReplicaStatus, SampleRequest

log = logging.getLogger("thinkbudget")

# A broadcast waits so many seconds for replicas that hang.
BROADCAST_SECONDS = 1.0


class RemoteEnginePool:
    """Every call is one streaming call of Serve, held open for its accounting and cancellation.

    It carries one message: which replica has taken the call, or why it was refused. All events come
    by the one stream that each replica has for this gateway.
    """

    def __init__(self, handle: "DeploymentHandle[EngineReplica]") -> None:
        self._handle = handle
        self._streaming = handle.options(stream=True)
        self._calls = PoolCalls(
            lambda replica: (
                lambda: _messages(
                    self._streaming.stream.remote(TargetReplica(replica), self._calls.gateway)
                )
            )
        )

    async def info(self) -> EngineInfo:
        info: EngineInfo = await self._handle.info.remote()
        return info

    async def load(self) -> Load:
        load: Load = await self._handle.load.remote()
        return load

    async def replica_statuses(self) -> tuple[ReplicaStatus, ...]:
        return tuple(await self._broadcast("status"))

    async def cancel(
        self, query: str, chain: int | None = None, *, replica: str | None = None
    ) -> None:
        await self._tell(replica, "cancel", query, chain)

    async def conclude(self, query: str, chain: int, *, replica: str | None = None) -> None:
        await self._tell(replica, "conclude", query, chain)

    async def check(self) -> None:
        await self._handle.check.remote()

    async def close(self) -> None:
        """Replicas end with the application."""

    def call(
        self, request: SampleRequest, affinity: str | None, avoid: tuple[str, ...]
    ) -> AsyncGenerator[EventBatch]:
        @asynccontextmanager
        async def send(number: int) -> AsyncIterator[str]:
            gateway = self._calls.gateway
            response = self._streaming.sample.remote(request, affinity, avoid, gateway, number)
            async with _messages(response) as messages:
                taken = await anext(messages, None)
                if isinstance(taken, Refused):
                    raise taken
                if taken is None:
                    raise EngineDied("has ended a call that it had not taken")
                yield taken.replica

        return self._calls.run(send)

    async def complete(
        self, request: CompletionRequest, avoid: tuple[str, ...]
    ) -> AsyncGenerator[Taken | CompletionEvent]:
        async with _messages(self._streaming.complete.remote(request, None, avoid)) as events:
            async for event in events:
                if isinstance(event, Refused):
                    raise event
                yield event

    async def _tell(self, replica: str | None, method: str, query: str, chain: int | None) -> None:
        """One replica, or all: of a thousand it would be a thousand calls.

        Where it is gone another one is told, which does not know the query: Serve would keep a call
        for a replica that never comes, and not close the handle.
        """
        only = None if replica is None else TargetReplica(replica, or_any=True)
        if only is None:
            await self._broadcast(method, only, query, chain)
            return
        response = getattr(self._handle, method).remote(only, query, chain)
        try:
            async with asyncio.timeout(BROADCAST_SECONDS):
                await response
        except (*UNREACHABLE, TimeoutError) as error:
            response.cancel()
            log.info("%s did not reach %s: %s", method, replica, type(error).__name__)

    async def _broadcast(self, method: str, *args: Any) -> list[Any]:
        """Call every replica: their results, or none if one does not reply in time."""
        try:
            async with asyncio.timeout(BROADCAST_SECONDS):
                results: list[Any] = await self._handle.broadcast(method, *args).results_async()
                return results
        except (*UNREACHABLE, TimeoutError) as error:
            log.info("%s did not reach all engines: %s", method, type(error).__name__)
            return []


@asynccontextmanager
async def _messages(response: Any) -> AsyncIterator[AsyncIterator[Any]]:
    """The messages of a call, which is cancelled with the block. Raises EngineDied."""
    try:
        yield response
    except RayTaskError:  # the replica lives, and has a bug
        raise
    except UNREACHABLE as error:
        raise EngineDied(f"cannot be reached: {type(error).__name__}") from error
    finally:
        response.cancel()
