"""Which of the requests on a replica are suspects when it dies, chains and completions alike."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scheduler.engines.quarantine import Probation, Quarantine
from scheduler.engines.replica_health import ReplicaHealth
from scheduler.errors import PoisonRequest

# A suspect is cleared once it has gone on for so long, past where the engine had died; for longer
# if it had been cleared before.
PROBATION_SECONDS = 0.5
# An engine's death is put down to requests that had come within so many seconds, or were alone.
FRESH_SECONDS = 1.0


@dataclass(slots=True, eq=False, kw_only=True)
class TrackedRequest:
    """A request as the quarantine sees it. Times are in seconds of the event loop's clock."""

    #: Fingerprint of the question, by which the quarantine knows it.
    question: str
    #: The replica that has taken the request. None: no replica has it now.
    replica: str | None = None
    #: When that replica took it.
    since: float = 0.0
    #: Whether an engine has died under it: it then waits for its turn on probation.
    suspect: bool = False
    #: Whether it runs as one of the few suspects, so that a death is put down to it.
    on_probation: bool = False
    #: Clears it of suspicion when it has gone on for long enough.
    clearing: asyncio.TimerHandle | None = None


class Suspects:
    """Puts the deaths of one pool's replicas down to requests.

    `counts` gets `deaths` (of replicas) and `poison` (requests refused).
    """

    def __init__(self, quarantine: Quarantine, health: ReplicaHealth, counts: Counter[str]) -> None:
        self._quarantine, self._health, self._counts = quarantine, health, counts
        self._probation = Probation()
        self._tracked: set[TrackedRequest] = set()

    @property
    def on_probation(self) -> int:
        """How many requests are on probation now."""
        return self._probation.inside

    @contextmanager
    def track(self, request: TrackedRequest) -> Iterator[None]:
        """While the request is under way, on a replica or between two."""
        request.suspect = self._quarantine.deaths(request.question) > 0
        self._tracked.add(request)
        try:
            yield
        finally:
            self._tracked.discard(request)
            self.end_probation(request)

    async def enter(self, request: TrackedRequest) -> None:
        """Before every attempt: a suspect waits for its turn on probation."""
        if request.suspect:
            await self._probation.enter()
            request.on_probation = True

    def refuse_poison(self, question: str) -> None:
        """Raises PoisonRequest when the quarantine blocks the question."""
        if self._quarantine.blocks(question):
            self._counts["poison"] += 1
            raise PoisonRequest(self._quarantine.max_deaths)

    def taken(self, request: TrackedRequest, replica: str) -> None:
        request.replica, request.since = replica, _now()

    def progressed(self, request: TrackedRequest) -> None:
        """A suspect that has got as far as this is cleared after a while."""
        if request.on_probation and request.clearing is None:
            seconds = PROBATION_SECONDS * self._quarantine.backoff_factor(request.question)
            loop = asyncio.get_running_loop()
            request.clearing = loop.call_later(seconds, self.clear, request)

    def record_death(self, request: TrackedRequest) -> None:
        """Put its replica's death down to requests, once: to those on probation there, else to all.

        It counts against those that had just come, as most that kill an engine do so at once, and
        against one that was alone. An engine that fails by itself so convicts hardly anybody. A
        request that no replica has taken has killed none.
        """
        replica, now = request.replica, _now()
        if replica is None or not self._health.unavailable(replica, now):
            return
        self._counts["deaths"] += 1
        there = [other for other in self._tracked if other.replica == replica]
        suspects = [other for other in there if other.on_probation] or there
        for suspect in suspects:
            suspect.suspect = True
        questions = {suspect.question for suspect in suspects}
        fresh = {s.question for s in suspects if now - s.since < FRESH_SECONDS}
        alone = len(questions) == 1
        self._quarantine.record_failure(questions if alone else fresh, alone=alone)

    def clear(self, request: TrackedRequest) -> None:
        """It has gone on where an engine had died, and nothing happened."""
        if request.on_probation:
            request.suspect = False
            self._quarantine.record_success(request.question)
            self.end_probation(request)

    def end_probation(self, request: TrackedRequest) -> None:
        if request.clearing:
            request.clearing.cancel()
            request.clearing = None
        if request.on_probation:
            request.on_probation = False
            self._probation.leave()


def _now() -> float:
    return asyncio.get_running_loop().time()
