"""No request is lost with an engine: its chains go on elsewhere, from their last checkpoints.

An engine that dies, falls silent or leaves takes nothing with it but the tokens since the last
`ChainProgress`. The caller sees one unbroken stream, nothing twice, nothing missing, at the cost of
one reservation. Requests under which engines die are refused (scheduler/engines/quarantine.py).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing

from scheduler.engines.in_flight import (
    AttemptResult,
    Finished,
    InFlightRequest,
    Lost,
    Moved,
    NoAnswer,
)
from scheduler.engines.pool import EngineDied, EnginePool, EventBatch, Taken
from scheduler.engines.quarantine import Quarantine, fingerprint
from scheduler.engines.replica_health import ReplicaHealth
from scheduler.engines.suspects import Suspects, TrackedRequest
from scheduler.errors import Overloaded
from workers.completion import Completed, CompletionEvent, CompletionRequest, CompletionText
from workers.engine import EngineEvent, EngineInfo, Load, ReplicaStatus, SampleRequest
from workers.sample import Accepted, ChainProgress, Sample

log = logging.getLogger("thinkbudget")

RETRY_SECONDS = 0.2
COMPLETION_ATTEMPTS = 3


class FailoverEngine:
    """An `Engine` made of a pool of engines that may die.

    A replica that sends nothing for `watchdog_seconds` counts as dead. A request that no replica
    takes for `queue_seconds` is Overloaded; one that the quarantine blocks, a PoisonRequest.
    """

    def __init__(
        self,
        pool: EnginePool,
        *,
        watchdog_seconds: float = 30.0,
        queue_seconds: float = 60.0,
        quarantine: Quarantine | None = None,
    ) -> None:
        self._pool, self._quarantine = pool, quarantine or Quarantine()
        self._quarantine.subscribe(self._interrupt)
        self._watchdog_seconds, self._queue_seconds = watchdog_seconds, queue_seconds
        self._health = ReplicaHealth()
        self._in_flight: set[InFlightRequest] = set()
        #: deaths, migrations (of chains), replayed_tokens (read again), poison (requests refused).
        self.counts: Counter[str] = Counter()
        self._suspects = Suspects(self._quarantine, self._health, self.counts)

    def stats(self) -> Mapping[str, int]:
        return self.counts

    async def info(self) -> EngineInfo:
        return await self._pool.info()

    async def load(self) -> Load:
        return await self._pool.load()

    async def replica_statuses(self) -> tuple[ReplicaStatus, ...]:
        there = await self._pool.replica_statuses()
        names = {status.name for status in there}
        gone = [name for name in self._health.avoid(_now()) if name not in names]
        return *there, *(ReplicaStatus(name, is_gone=True) for name in gone)

    async def check(self) -> None:
        await self._pool.check()

    async def close(self) -> None:
        await self._pool.close()

    async def cancel(self, query: str, chain: int | None = None) -> None:
        flights = self._of(query)
        for flight in flights:
            flight.cancel(chain)
        for replica in _replicas_of(flights):
            await self._pool.cancel(query, chain, replica=replica)

    async def conclude(self, query: str, chain: int) -> None:
        flights = self._of(query)
        for flight in flights:
            flight.concluded.add(chain)
        for replica in _replicas_of(flights):
            await self._pool.conclude(query, chain, replica=replica)

    def _of(self, query: str) -> list[InFlightRequest]:
        return [flight for flight in self._in_flight if flight.request.query == query]

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        """Raises Refused, Overloaded, PoisonRequest."""
        flight = InFlightRequest(request, question=fingerprint(request))
        flight.last_heard = _now()
        self._in_flight.add(flight)
        accepted = False
        try:
            with self._suspects.track(flight):
                while flight.waiting:
                    async with aclosing(self._attempt(flight)) as events:
                        async for event in events:
                            if isinstance(event, Moved | Lost):
                                await self._migrate(flight, event)
                            elif not isinstance(event, Finished | Accepted):
                                yield event
                            elif isinstance(event, Accepted) and not accepted:
                                accepted = True
                                yield event
        finally:
            self._in_flight.discard(flight)

    async def _attempt(
        self, flight: InFlightRequest
    ) -> AsyncGenerator[EngineEvent | AttemptResult]:
        """Have one replica run the chains that are out. The last event is the result."""
        self._suspects.refuse_poison(flight.question)
        result: AttemptResult = Finished()
        flight.progressed = False
        entered = await flight.wait(self._suspects.enter(flight), None)
        if entered is not NoAnswer.INTERRUPTED:
            try:
                self._suspects.refuse_poison(flight.question)
                async with aclosing(self._batches(flight)) as batches:
                    async for batch in batches:
                        if isinstance(batch, Lost):
                            result = batch
                            break
                        for event in batch.events:
                            if _is_lost(event):
                                result = Lost("has lost a chain")
                                continue
                            await self._note(flight, event, batch.replica)
                            for shown in flight.take(event):
                                yield shown
                        if isinstance(result, Lost) or batch.leaving:
                            result = result if isinstance(result, Lost) else Moved("is leaving")
                            break
                if isinstance(result, Lost):
                    self._suspects.record_death(flight)
                elif not flight.waiting:
                    self._suspects.clear(flight)
            finally:
                self._suspects.end_probation(flight)
        if flight.interrupted and not flight.is_cancelled:
            self._suspects.refuse_poison(flight.question)
            flight.interrupted = False
        for sample in flight.cancelled_samples():
            yield sample
        yield result

    async def _batches(self, flight: InFlightRequest) -> AsyncGenerator[EventBatch | Lost]:
        """What one replica sends, and Lost if it dies. Ends early when the request is interrupted.

        Raises Overloaded when no replica takes the request.
        """
        request = flight.remaining()
        affinity = request.affinity or self._health.affinity(request.query)
        patience = flight.last_heard + self._queue_seconds - _now()
        avoid = self._health.avoid(_now())
        async with aclosing(self._pool.call(request, affinity, avoid)) as batches:
            while True:
                try:
                    batch = await flight.wait(anext(batches, None), patience)
                except EngineDied as error:
                    yield Lost(str(error))
                    return
                if batch is NoAnswer.INTERRUPTED:
                    return
                if batch is NoAnswer.SILENT:
                    if flight.replica is None:
                        why = f"no engine has taken this request in {self._queue_seconds:g} s"
                        raise Overloaded(why)
                    yield Lost(f"is silent for {patience:g} s")
                    return
                if batch is None:
                    if flight.waiting:
                        yield Lost("has ended a call without its samples")
                    return
                assert isinstance(batch, EventBatch)
                patience = self._watchdog_seconds
                if self._health.is_available(batch.replica):
                    flight.last_heard = _now()
                if flight.replica is None:
                    self._suspects.taken(flight, batch.replica)
                    self._health.taken(request.query, batch.replica)
                yield batch

    async def _note(self, flight: InFlightRequest, event: EngineEvent, replica: str) -> None:
        if isinstance(event, Accepted):
            # Chains may have been cancelled while no replica had them.
            for chain in flight.cancelled.intersection(flight.waiting):
                await self._pool.cancel(flight.request.query, chain, replica=replica)
        elif _is_progress(event):
            flight.progressed = True
            self._health.progressed(replica, flight.since)
            self._suspects.progressed(flight)

    async def _migrate(self, flight: InFlightRequest, result: Moved | Lost) -> None:
        """Take the chains that are out away from their replica."""
        if isinstance(result, Lost):
            query, replica = flight.request.query, flight.replica or "of the pool"
            log.warning("query %s: engine %s %s", query, replica, result.reason)
        is_news = True
        if flight.replica is not None:
            is_news = self._health.unavailable(flight.replica, _now())
            self.counts["migrations"] += len(flight.waiting)
            self.counts["replayed_tokens"] += flight.tokens
            flight.migrate()
        # Where there is no other replica, one that leaves may be asked again at once.
        if not flight.progressed and (isinstance(result, Lost) or not is_news):
            await asyncio.sleep(RETRY_SECONDS)

    def _interrupt(self, question: str) -> None:
        """Another gateway has blocked a question: what waits or runs here is given up."""
        for flight in self._in_flight:
            if flight.question == question:
                flight.interrupt()

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        """Begins anew on another engine while no text was passed on; else it ends as "lost".

        The text of a request that is not `live` is passed on when it is whole. Raises Refused,
        PoisonRequest.
        """
        tracked = TrackedRequest(question=fingerprint(request))
        is_accepted = is_shown = False
        with self._suspects.track(tracked):
            for _ in range(COMPLETION_ATTEMPTS):
                self._suspects.refuse_poison(tracked.question)
                await self._suspects.enter(tracked)
                try:
                    self._suspects.refuse_poison(tracked.question)
                    async with aclosing(self._complete_once(request, tracked)) as events:
                        async for event in events:
                            if not (is_accepted and isinstance(event, Accepted)):
                                yield event
                            is_accepted |= isinstance(event, Accepted)
                            is_shown |= isinstance(event, CompletionText)
                    self._suspects.clear(tracked)
                    return
                except EngineDied as error:
                    replica = tracked.replica or "of the pool"
                    log.warning("completion %s: engine %s %s", request.query, replica, error)
                    self._suspects.record_death(tracked)
                finally:
                    self._suspects.end_probation(tracked)
                    tracked.replica = None
                if is_shown:
                    break
                await asyncio.sleep(RETRY_SECONDS)
            if not is_shown:
                self._suspects.refuse_poison(tracked.question)
        yield Completed("lost", 0)

    async def _complete_once(
        self, request: CompletionRequest, tracked: TrackedRequest
    ) -> AsyncGenerator[CompletionEvent]:
        """Raises Refused, EngineDied."""
        held: list[CompletionText] = []
        avoid = self._health.avoid(_now())
        async with aclosing(self._pool.complete(request, avoid)) as events:
            async for event in events:
                if isinstance(event, Taken):
                    self._suspects.taken(tracked, event.replica)
                    # Nothing may come of a text before its end: its time on probation begins now.
                    self._suspects.progressed(tracked)
                    continue
                if isinstance(event, CompletionText):
                    self._health.progressed(tracked.replica or "", tracked.since)
                    if not request.live:
                        held.append(event)
                        continue
                elif isinstance(event, Completed):
                    if event.finish == "lost":
                        raise EngineDied("has lost a completion")
                    for text in held:
                        yield text
                yield event


def _replicas_of(flights: Collection[InFlightRequest]) -> set[str | None]:
    """Who is to be told of a query: those that have it; all where that is not known (None)."""
    replicas = {flight.replica for flight in flights} or {None}
    return {None} if None in replicas else replicas


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_progress(event: EngineEvent) -> bool:
    """Whether it takes a living engine to send it."""
    if isinstance(event, ChainProgress):
        return bool(event.news.thinking or event.news.answer)
    return not isinstance(event, Accepted)


def _is_lost(event: EngineEvent) -> bool:
    return isinstance(event, Sample) and event.stop_cause == "lost"
