"""No request is lost with an engine: its chains go on elsewhere, from what they had already said.

An engine that dies, falls silent or leaves takes nothing with it but the tokens since the last
`ChainProgress`. Whoever asked sees one unbroken stream, nothing twice, nothing missing, at the
cost of
one reservation. A question under which engines die is put away (scheduler/engines/quarantine.py).
"""

import asyncio
import logging
import math
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from scheduler.engines.in_flight import InFlightRequest
from scheduler.engines.pool import EngineDied, EnginePool, EventBatch
from scheduler.engines.quarantine import Probation, Quarantine, fingerprint
from scheduler.errors import Overloaded, PoisonRequest
from workers.completion import Completed, CompletionEvent, CompletionRequest, CompletionText
from workers.engine import EngineEvent, EngineInfo, Load, SampleRequest
from workers.sample import Accepted, ChainProgress, Sample

log = logging.getLogger("thinkbudget")

# A suspect is cleared once it has gone on for so long, past where the engine had died; for twice as
# long if it had been cleared before.
PROBATION_SECONDS = 0.5
# Who had been on an engine for longer than this, in company, is not yet counted as its death.
FRESH_SECONDS = 1.0
AVOID_SECONDS = 60.0
RETRY_SECONDS = 0.2
MOST_HOMES = 4096


class FailoverEngine:
    """An engine out of many that may die. `counts`: deaths, moves (of chains), replayed_tokens
    (that were read again), and poison (requests refused).

    A replica that says nothing for `watchdog_seconds` counts as dead; a request that no replica
    takes for `queue_seconds` is Overloaded; one that has `quarantine` against it, a PoisonRequest.
    """

    def __init__(
        self,
        fleet: EnginePool,
        *,
        watchdog_seconds: float = 30.0,
        queue_seconds: float = 60.0,
        quarantine: Quarantine | None = None,
    ) -> None:
        self._fleet, self._quarantine = fleet, quarantine or Quarantine()
        self._quarantine.when_told = self._put_away
        self._watchdog_seconds, self._queue_seconds = watchdog_seconds, queue_seconds
        self._probation = Probation()
        self._flights: set[InFlightRequest] = set()
        self._homes: OrderedDict[str, str] = OrderedDict()
        self._gone: dict[str, float] = {}
        self.counts: Counter[str] = Counter()

    async def info(self) -> EngineInfo:
        return await self._fleet.info()

    async def load(self) -> Load:
        return await self._fleet.load()

    async def check(self) -> None:
        await self._fleet.check()

    async def close(self) -> None:
        await self._fleet.close()

    async def cancel(self, query: str, chain: int | None = None) -> None:
        for flight in self._of(query):
            flight.cancel(chain)
        await self._fleet.cancel(query, chain)

    async def conclude(self, query: str, chain: int) -> None:
        for flight in self._of(query):
            flight.concluded.add(chain)
        await self._fleet.conclude(query, chain)

    def _of(self, query: str) -> list[InFlightRequest]:
        return [flight for flight in self._flights if flight.request.query == query]

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        """Raises Refused, Overloaded, PoisonRequest."""
        flight = InFlightRequest(request, fingerprint(request))
        flight.heard = asyncio.get_running_loop().time()
        flight.suspect = self._quarantine.deaths(flight.question) > 0
        self._flights.add(flight)
        accepted = False
        try:
            while flight.waiting:
                async with aclosing(self._attempt(flight)) as events:
                    async for event in events:
                        if not (accepted and isinstance(event, Accepted)):
                            yield event
                        accepted |= isinstance(event, Accepted)
        finally:
            self._flights.discard(flight)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        """Begun anew on another engine where none of it was told yet, "lost" otherwise."""
        accepted, told = False, 0
        for _ in range(self._quarantine.max_deaths):
            try:
                async with aclosing(self._fleet.complete(request)) as events:
                    async for event in events:
                        if isinstance(event, Completed) and event.finish == "lost":
                            raise EngineDied("its engine core has died")
                        told += isinstance(event, CompletionText)
                        if not (accepted and isinstance(event, Accepted)):
                            yield event
                        accepted |= isinstance(event, Accepted)
                return
            except EngineDied as error:
                log.warning("text %s: %s", request.query, error)
                if told:
                    break
        yield Completed("lost", told)

    async def _attempt(self, flight: InFlightRequest) -> AsyncGenerator[EngineEvent]:
        """Have one replica run what is still out. What it does not finish is left waiting."""
        alive = False
        try:
            async with self._turn(flight) as went_on, aclosing(self._call(flight)) as batches:
                async for batch in batches:
                    told = [event for event in batch.events if not _is_lost(event)]
                    for event in told:
                        if isinstance(event, Accepted):
                            await self._repeat_orders(flight)
                        elif _is_news(event):
                            alive = True
                            went_on()
                            # What was on its way when the replica died does not bring it back.
                            if flight.since > self._gone.get(batch.replica, math.inf):
                                del self._gone[batch.replica]
                        for heard in flight.take(event):
                            yield heard
                    if len(told) < len(batch.events):
                        raise self._death(flight, "has lost a chain")
                    if batch.leaving:
                        self._leave(flight)
                        break
                else:
                    if flight.waiting:
                        raise self._death(flight, "has ended a call without its samples")
        except EngineDied as error:
            log.warning("query %s: %s", flight.request.query, error)
            self._leave(flight)
            if not alive:
                await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            if not flight.is_cancelled:
                self._refuse_poison(flight)
                raise
        for sample in flight.ended():
            yield sample

    async def _call(self, flight: InFlightRequest) -> AsyncGenerator[EventBatch]:
        """What one replica says. TimeoutError is of a flight that was cancelled or put away."""
        loop, request = asyncio.get_running_loop(), flight.again()
        home = request.resume.replica if request.resume else self._homes.get(request.query)
        patience = flight.heard + self._queue_seconds - loop.time()
        async with aclosing(self._fleet.call(request, home, self._avoid())) as batches:
            try:
                while (batch := await flight.wait(anext(batches, None), patience)) is not None:
                    patience = self._watchdog_seconds
                    if batch.replica not in self._gone:
                        flight.heard = loop.time()
                    if flight.replica is None:
                        self._taken(flight, batch.replica)
                    yield batch
            except EngineDied as error:
                raise self._death(flight, str(error)) from error
            except TimeoutError:
                if flight.is_cancelled or self._quarantine.holds(flight.question):
                    raise
                if flight.replica is None:
                    why = f"no engine has taken this request in {self._queue_seconds:g} s"
                    raise Overloaded(why) from None
                raise self._death(flight, f"is silent for {patience:g} s") from None

    def _taken(self, flight: InFlightRequest, replica: str) -> None:
        flight.replica, flight.since = replica, asyncio.get_running_loop().time()
        self._homes[flight.request.query] = replica
        self._homes.move_to_end(flight.request.query)
        if len(self._homes) > MOST_HOMES:
            self._homes.popitem(last=False)

    def _avoid(self) -> tuple[str, ...]:
        """The replicas that have died, fallen silent or left lately."""
        since = asyncio.get_running_loop().time() - AVOID_SECONDS
        self._gone = {replica: when for replica, when in self._gone.items() if when > since}
        return tuple(self._gone)

    async def _repeat_orders(self, flight: InFlightRequest) -> None:
        """They may have been given while no replica had the chains."""
        for chain in flight.waiting:
            if chain in flight.cancelled:
                await self._fleet.cancel(flight.request.query, chain)

    def _death(self, flight: InFlightRequest, why: str) -> EngineDied:
        """Judge a replica's death, once: whoever was there on probation is a suspect, else all.

        It counts against those who had just come, as most that kill an engine do so at once, and
        against one who was alone. An engine that fails by itself so convicts hardly anybody.
        """
        replica, now = flight.replica, asyncio.get_running_loop().time()
        if replica is not None and replica not in self._gone:
            self._gone[replica] = now
            self.counts["deaths"] += 1
            there = [other for other in self._flights if other.replica == replica]
            suspects = [other for other in there if other.on_probation] or there
            for suspect in suspects:
                suspect.suspect = True
            questions = {suspect.question for suspect in suspects}
            fresh = {s.question for s in suspects if now - s.since < FRESH_SECONDS}
            alone = len(questions) == 1
            self._quarantine.blame(questions if alone else fresh, alone=alone)
        return EngineDied(f"engine {replica} {why}" if replica else why)

    def _leave(self, flight: InFlightRequest) -> None:
        """Take what is still out away from its replica."""
        if flight.replica is not None:
            self._gone.setdefault(flight.replica, asyncio.get_running_loop().time())
            self.counts["moves"] += len(flight.waiting)
            self.counts["replayed_tokens"] += flight.tokens
            flight.move()

    @asynccontextmanager
    async def _turn(self, flight: InFlightRequest) -> AsyncIterator[Callable[[], None]]:
        """A suspect's turn on probation, until it went on for a while; others need not wait."""
        loop = asyncio.get_running_loop()
        clearing: asyncio.TimerHandle | None = None

        def went_on() -> None:
            nonlocal clearing
            if flight.on_probation and clearing is None:
                seconds = PROBATION_SECONDS * self._quarantine.doubt(flight.question)
                clearing = loop.call_later(seconds, self._clear, flight)

        self._refuse_poison(flight)
        if flight.suspect:
            await flight.wait(self._probation.enter(), None)
            flight.on_probation = True
        try:
            self._refuse_poison(flight)
            yield went_on
            if flight.on_probation and not flight.waiting:
                self._clear(flight)
        finally:
            if clearing:
                clearing.cancel()
            self._end_probation(flight)

    def _put_away(self, question: str) -> None:
        """Another gateway has found out what it does: it waits, or is about to kill, in vain."""
        for flight in self._flights:
            if flight.question == question:
                flight.interrupt()

    def _refuse_poison(self, flight: InFlightRequest) -> None:
        if self._quarantine.holds(flight.question):
            self.counts["poison"] += 1
            raise PoisonRequest(self._quarantine.max_deaths)

    def _clear(self, flight: InFlightRequest) -> None:
        flight.suspect = False
        self._quarantine.acquit(flight.question)
        self._end_probation(flight)

    def _end_probation(self, flight: InFlightRequest) -> None:
        if flight.on_probation:
            flight.on_probation = False
            self._probation.leave()


def _is_news(event: EngineEvent) -> bool:
    """Whether it takes a living engine to say so."""
    if isinstance(event, ChainProgress):
        return bool(event.news.thinking or event.news.answer)
    return not isinstance(event, Accepted)


def _is_lost(event: EngineEvent) -> bool:
    return isinstance(event, Sample) and event.stop_cause == "lost"
