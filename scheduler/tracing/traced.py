"""An engine and a pool of engines whose rounds, calls and chains are recorded as spans."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from scheduler.engines.pool import EnginePool, EventBatch, Taken
from scheduler.tracing.spans import Spans, annotate, failed, now
from workers.completion import CompletionEvent, CompletionRequest
from workers.engine import (
    Engine,
    EngineEvent,
    EngineInfo,
    Fleet,
    Load,
    ReplicaStatus,
    SampleRequest,
)
from workers.sample import Accepted, Sample


@dataclass(slots=True)
class TracedEngine:
    """Every call of `sample` is a round: a span of it, and one of each of its chains."""

    engine: Engine
    spans: Spans

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        span, began = self.spans.round(request), now()
        try:
            async with aclosing(self.engine.sample(request)) as events:
                async for event in events:
                    if isinstance(event, Accepted):
                        annotate(span, {"gen_ai.usage.input_tokens": event.prompt_tokens})
                    elif isinstance(event, Sample):
                        self.spans.chain(request, event, began)
                    yield event
        except Exception as error:
            failed(span, error)
            raise
        finally:
            self.spans.round_ended(request, span)

    def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        return self.engine.complete(request)

    async def info(self) -> EngineInfo:
        return await self.engine.info()

    async def load(self) -> Load:
        return await self.engine.load()

    async def replica_statuses(self) -> tuple[ReplicaStatus, ...]:
        if isinstance(self.engine, Fleet):
            return await self.engine.replica_statuses()
        info = await self.engine.info()
        return (ReplicaStatus(info.model, *await self.engine.load()),)

    def stats(self) -> Mapping[str, int]:
        return self.engine.stats()

    async def cancel(self, query: str, chain: int | None = None) -> None:
        await self.engine.cancel(query, chain)

    async def conclude(self, query: str, chain: int) -> None:
        await self.engine.conclude(query, chain)

    async def check(self) -> None:
        await self.engine.check()

    async def close(self) -> None:
        await self.engine.close()


@dataclass(slots=True)
class TracedPool:
    """Every call to one of its engines is a span, the calls after a death too."""

    pool: EnginePool
    spans: Spans

    async def call(
        self, request: SampleRequest, affinity: str | None, avoid: tuple[str, ...]
    ) -> AsyncGenerator[EventBatch]:
        span = self.spans.call(request)
        tokens = 0
        try:
            async with aclosing(self.pool.call(request, affinity, avoid)) as batches:
                async for batch in batches:
                    annotate(span, {"thinkbudget.engine": batch.replica})
                    tokens += sum(e.tokens for e in batch.events if isinstance(e, Sample))
                    yield batch
        except Exception as error:
            failed(span, error)
            raise
        finally:
            annotate(span, {"gen_ai.usage.output_tokens": tokens})
            if span is not None:
                span.end()

    def complete(
        self, request: CompletionRequest, avoid: tuple[str, ...]
    ) -> AsyncGenerator[Taken | CompletionEvent]:
        return self.pool.complete(request, avoid)

    async def info(self) -> EngineInfo:
        return await self.pool.info()

    async def load(self) -> Load:
        return await self.pool.load()

    async def replica_statuses(self) -> tuple[ReplicaStatus, ...]:
        return await self.pool.replica_statuses()

    async def cancel(
        self, query: str, chain: int | None = None, *, replica: str | None = None
    ) -> None:
        await self.pool.cancel(query, chain, replica=replica)

    async def conclude(self, query: str, chain: int, *, replica: str | None = None) -> None:
        await self.pool.conclude(query, chain, replica=replica)

    async def check(self) -> None:
        await self.pool.check()

    async def close(self) -> None:
        await self.pool.close()


def traced(engine: Engine, spans: Spans) -> Engine:
    return TracedEngine(engine, spans) if spans.tracer else engine


def traced_pool(pool: EnginePool, spans: Spans) -> EnginePool:
    return TracedPool(pool, spans) if spans.tracer else pool
