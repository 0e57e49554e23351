"""One engine behind Ray Serve. Imports ray."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator

import psutil
from ray import serve

from scheduler.config import EngineConfig
from scheduler.engines.autoscaling import TOKENS
from scheduler.engines.factory import make_engine
from scheduler.engines.multiplex_server import Frame
from scheduler.engines.pool import Taken
from scheduler.engines.replica_calls import ReplicaCalls
from scheduler.engines.routing import Backlog, TargetReplica
from scheduler.logs import LogLevel, configure
from workers.completion import Completed, CompletionEvent, CompletionRequest
from workers.engine import (
    EngineEvent,
    EngineInfo,
    Load,
    Refused,
    ReplicaStatus,
    SampleRequest,
)
from workers.sample import Sample

log = logging.getLogger("thinkbudget")


class EngineReplica:
    """One engine.

    A replica whose engine has died, or hangs, leaves at once: a dead engine answers fastest, and
    would attract requests until Serve has failed its health three times.
    """

    def __init__(self, config: EngineConfig, log_level: LogLevel = "warning") -> None:
        configure(log_level)
        self._name = serve.get_replica_context().replica_id.unique_id
        self._engine = make_engine(config, replica=self._name)
        self._calls = ReplicaCalls(self._engine, self._name)
        self._backlog = Backlog()
        self._checks: set[asyncio.Task[None]] = set()

    async def info(self) -> EngineInfo:
        return await self._engine.info()

    async def load(self) -> Load:
        return await self._engine.load()

    async def status(self) -> ReplicaStatus:
        return ReplicaStatus(self._name, *await self._engine.load(), self._backlog.owed.tokens)

    async def cancel(
        self, only: TargetReplica | None, query: str, chain: int | None = None
    ) -> None:
        """`only` is for TokenRouter, as in `sample`; None: all replicas are told."""
        await self._engine.cancel(query, chain)

    async def conclude(self, only: TargetReplica | None, query: str, chain: int) -> None:
        await self._engine.conclude(query, chain)

    async def check(self) -> None:
        try:
            await self._engine.check()
        except Exception as error:
            log.error("this engine is replaced: %s", error)
            _leave()

    async def check_health(self) -> None:
        await self.check()

    async def record_routing_stats(self) -> dict[str, int]:
        """What TokenRouter gets, in every gateway."""
        return self._backlog.owed._asdict() | {"version": self._backlog.version}

    async def record_autoscaling_stats(self) -> dict[str, float]:
        return {TOKENS: self._backlog.owed.tokens}

    async def sample(
        self,
        request: SampleRequest,
        affinity: str | None,
        avoid: tuple[str, ...],
        gateway: str,
        call: int,
    ) -> AsyncGenerator[Taken | Refused]:
        """Takes the call or refuses it, in one message. Its events are sent by `stream`.

        `affinity` and `avoid` are for TokenRouter, which has read them when this is called. The
        call stays open while the chains run: Serve counts it, and cancels it with its gateway.
        """
        with self._backlog.owing(request) as ended:

            def on_event(event: EngineEvent) -> None:
                if isinstance(event, Sample):
                    ended()
                    if event.stop_cause == "lost":
                        self._check_soon()

            run = self._calls.run(request, gateway, call, on_event)
            try:
                async with contextlib.aclosing(run) as taken:
                    async for message in taken:
                        yield message
            except Refused as refused:
                yield refused

    async def stream(self, only: TargetReplica, gateway: str) -> AsyncGenerator[tuple[Frame, ...]]:
        """The events of all the calls of a gateway; `only` this replica is meant."""
        async with contextlib.aclosing(self._calls.server(gateway).stream()) as messages:
            async for frames in messages:
                yield frames

    def _check_soon(self) -> None:
        task = asyncio.create_task(self.check())
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def complete(
        self, request: CompletionRequest, affinity: None, avoid: tuple[str, ...]
    ) -> AsyncGenerator[Taken | CompletionEvent | Refused]:
        """Its events by a stream of its own; `affinity` and `avoid` are as in `sample`."""
        yield Taken(self._name)
        try:
            async with contextlib.aclosing(self._engine.complete(request)) as events:
                with self._backlog.owing(request):
                    async for event in events:
                        yield event
                        if isinstance(event, Completed) and event.finish == "lost":
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
