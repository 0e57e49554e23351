"""The engine replicas seen from a gateway: a `EnginePool`. Imports ray."""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from scheduler.cluster.replica import EngineReplica
from scheduler.cluster.unreachable import UNREACHABLE
from scheduler.engines.multiplex_client import Inboxes, MultiplexedStream
from scheduler.engines.pool import EngineDied, EventBatch
from scheduler.engines.routing import TargetReplica
from workers.completion import CompletionEvent, CompletionRequest
from workers.engine import EngineInfo, Load, Refused, SampleRequest

log = logging.getLogger("thinkbudget")

# A replica that hangs is not waited for longer.
TELL_SECONDS = 1.0


class RemoteEnginePool:
    def __init__(self, handle: "DeploymentHandle[EngineReplica]") -> None:
        self._handle = handle
        self._stream = handle.options(stream=True)
        self._name, self._numbers = uuid4().hex, itertools.count()
        self._inboxes: Inboxes = {}
        self._lines: dict[str, MultiplexedStream] = {}

    async def info(self) -> EngineInfo:
        info: EngineInfo = await self._handle.info.remote()
        return info

    async def load(self) -> Load:
        load: Load = await self._handle.load.remote()
        return load

    async def cancel(self, query: str, chain: int | None = None) -> None:
        await self._tell("cancel", query, chain)

    async def conclude(self, query: str, chain: int) -> None:
        await self._tell("conclude", query, chain)

    async def check(self) -> None:
        await self._handle.check.remote()

    async def close(self) -> None:
        """Replicas end with the application."""

    async def call(
        self, request: SampleRequest, home: str | None, avoid: tuple[str, ...]
    ) -> AsyncGenerator[EventBatch]:
        number = next(self._numbers)
        inbox = self._inboxes[number] = asyncio.Queue[EventBatch | Exception | None]()
        asked = self._stream.sample.remote(request, home, avoid, self._name, number)
        try:
            async with _answers(asked) as said:
                async for first in said:
                    if isinstance(first, Refused):
                        raise first
                    with self._line(first.replica).carrying(number):
                        yield first
                        while (told := await inbox.get()) is not None:
                            if isinstance(told, Exception):
                                raise told
                            yield told
        finally:
            del self._inboxes[number]

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        async with _answers(self._stream.complete.remote(request)) as events:
            async for event in events:
                if isinstance(event, Refused):
                    raise event
                yield event

    def _line(self, replica: str) -> MultiplexedStream:
        line = self._lines.get(replica)
        if line is None or line.is_over:
            line = MultiplexedStream(lambda: self._listen(replica), self._inboxes)
            self._lines[replica] = line
            self._lines = {name: one for name, one in self._lines.items() if not one.is_over}
        return line

    def _listen(self, replica: str) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        return _answers(self._stream.line.remote(TargetReplica(replica), self._name))

    async def _tell(self, method: str, *order: Any) -> None:
        """Tell every replica; whether one of them hears it shows in what it sends."""
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self._handle.broadcast(method, *order).results_async()
        except (*UNREACHABLE, TimeoutError) as error:
            log.info("%s was not heard by all engines: %s", method, type(error).__name__)


@asynccontextmanager
async def _answers(response: Any) -> AsyncIterator[AsyncIterator[Any]]:
    """What comes of a call, which ends with the block. Its ways of dying become EngineDied."""
    try:
        yield response
    except RayTaskError:  # the replica lives, and has a bug
        raise
    except UNREACHABLE as error:
        raise EngineDied(f"it cannot be reached: {type(error).__name__}") from error
    finally:
        response.cancel()
