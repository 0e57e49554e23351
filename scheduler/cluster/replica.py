"""One engine behind Ray Serve. Imports ray."""

import contextlib
import logging
import os
from collections.abc import AsyncGenerator

import psutil
from ray import serve

from scheduler.config import EngineConfig
from scheduler.engines.autoscaling import TOKENS
from scheduler.engines.event_batcher import EventBatcher
from scheduler.engines.factory import make_engine
from scheduler.engines.multiplex_server import Frame, MultiplexServer
from scheduler.engines.pool import EventBatch
from scheduler.engines.routing import Backlog, TargetReplica
from workers.completion import Completed, CompletionEvent, CompletionRequest
from workers.engine import EngineInfo, Load, Refused, SampleRequest
from workers.sample import Sample

log = logging.getLogger("thinkbudget")


class EngineReplica:
    """One engine.

    A replica whose engine has died, or hangs, leaves at once: a dead engine answers fastest, and
    would attract requests until Serve has failed its health three times.
    """

    def __init__(self, config: EngineConfig) -> None:
        name = serve.get_replica_context().replica_id.unique_id
        self._engine = make_engine(config, replica=name)
        self._pump = EventBatcher(self._engine, name)
        self._backlog = Backlog()
        self._outboxes: dict[str, MultiplexServer] = {}

    async def info(self) -> EngineInfo:
        return await self._engine.info()

    async def load(self) -> Load:
        return await self._engine.load()

    async def cancel(self, query: str, chain: int | None = None) -> None:
        await self._engine.cancel(query, chain)

    async def conclude(self, query: str, chain: int) -> None:
        await self._engine.conclude(query, chain)

    async def drain(self) -> None:
        """Hand over what is running to other replicas, now."""
        self._pump.drain()

    async def check(self) -> None:
        try:
            await self._engine.check()
        except Exception as error:
            log.error("this engine is replaced: %s", error)
            _leave()

    async def check_health(self) -> None:
        await self.check()

    async def record_routing_stats(self) -> dict[str, int]:
        """What TokenRouter hears of, in every gateway."""
        return self._backlog.owed._asdict() | {"beat": self._backlog.beat}

    async def record_autoscaling_stats(self) -> dict[str, float]:
        return {TOKENS: self._backlog.owed.tokens}

    async def sample(
        self,
        request: SampleRequest,
        home: str | None,
        avoid: tuple[str, ...],
        gateway: str,
        call: int,
    ) -> AsyncGenerator[EventBatch | Refused]:
        """The first batch; all others go by the gateway's line, under the number of the call.

        `home` and `avoid` are for TokenRouter, which has read them when this is called.
        """
        outbox, taken = self._outbox(gateway), False
        try:
            async with contextlib.aclosing(self._pump.sample(request)) as batches:
                with self._backlog.owing(request) as ended, outbox.calling(call):
                    async for batch in batches:
                        if taken:
                            outbox.post(call, batch)
                        else:
                            yield batch
                            taken = True
                        for sample in batch.events:
                            if isinstance(sample, Sample):
                                ended()
                                if sample.stop_cause == "lost":
                                    await self.check()
        except Refused as refused:
            yield refused

    async def line(self, only: TargetReplica, gateway: str) -> AsyncGenerator[tuple[Frame, ...]]:
        """What all the calls of a gateway tell; `only` this replica is meant."""
        async with contextlib.aclosing(self._outbox(gateway).line()) as line:
            async for letters in line:
                yield letters

    def _outbox(self, gateway: str) -> MultiplexServer:
        if gateway not in self._outboxes:
            used = {name: box for name, box in self._outboxes.items() if not box.is_unused}
            self._outboxes = used | {gateway: MultiplexServer()}
        return self._outboxes[gateway]

    async def complete(
        self, request: CompletionRequest
    ) -> AsyncGenerator[CompletionEvent | Refused]:
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
