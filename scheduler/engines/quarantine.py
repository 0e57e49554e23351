"""Requests under which engines die, and how to find the one among many that were there.

When an engine dies, the requests on it become suspects and are retried a few at a time
(`Probation`). If a second engine dies, the request that runs there alone is the cause.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import NamedTuple

from workers.completion import CompletionRequest
from workers.engine import SampleRequest

# However many suspects there are, they are through in about this many turns.
PROBATION_TURNS = 8
# Longer than half a second times this, suspects would hold each other up too long.
MAX_BACKOFF = 16.0


def fingerprint(request: SampleRequest | CompletionRequest) -> str:
    """Of the question: the same in every round of a query."""
    if isinstance(request, CompletionRequest):
        text = repr(request.prompt)
    else:
        text = repr((request.messages, request.suffix))
    return hashlib.blake2b(text.encode()).hexdigest()


class FailureRecord(NamedTuple):
    """Of one question; forgotten at `ends`."""

    deaths: int = 0
    successes: int = 0
    ends: float = 0.0


class Quarantine:
    """Counts the engine deaths that are put down to a question.

    A question with `max_deaths` is blocked for so many `seconds`. The latest `most` questions are
    kept; blocked ones are dropped last, so that many cleared ones do not free them.
    """

    def __init__(
        self,
        *,
        max_deaths: int = 2,
        seconds: float = 600.0,
        most: int = 1024,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.max_deaths, self._seconds, self._most, self._clock = max_deaths, seconds, most, clock
        self._records: OrderedDict[str, FailureRecord] = OrderedDict()
        self._subscribers: list[Callable[[str], None]] = []

    def subscribe(self, on_blocked: Callable[[str], None]) -> None:
        """Call this with every question that another gateway has blocked."""
        self._subscribers.append(on_blocked)

    def deaths(self, question: str) -> int:
        return self._record(question).deaths

    def record_failure(self, questions: set[str], *, alone: bool) -> None:
        """An engine has died of one of these. A question is only blocked for deaths it was alone
        at.
        """
        for question in questions:
            old = self._record(question)
            deaths = old.deaths + 1 if alone else min(old.deaths + 1, self.max_deaths - 1)
            self._keep(question, old._replace(deaths=deaths))

    def record_success(self, question: str) -> None:
        """It went on where an engine had died, and nothing happened."""
        old = self._record(question)
        if old.deaths < self.max_deaths:
            self._keep(question, FailureRecord(successes=old.successes + 1))

    def backoff_factor(self, question: str) -> float:
        """How many times as long it has to go on to be cleared: what kills slowly is found so."""
        return min(MAX_BACKOFF, 2.0 ** self._record(question).successes)

    def blocks(self, question: str) -> bool:
        return self.deaths(question) >= self.max_deaths

    def blocked(self) -> dict[str, float]:
        """The blocked questions, and for how many seconds more."""
        now = self._clock()
        return {
            question: record.ends - now
            for question, record in self._records.items()
            if record.deaths >= self.max_deaths and record.ends > now
        }

    def block(self, blocked: Mapping[str, float]) -> None:
        """Block what another gateway has blocked."""
        for question, seconds in blocked.items():
            if not self.blocks(question):
                self._keep(question, FailureRecord(self.max_deaths), seconds)
                for on_blocked in self._subscribers:
                    on_blocked(question)

    def _record(self, question: str) -> FailureRecord:
        record = self._records.get(question, FailureRecord())
        return record if self._clock() < record.ends else FailureRecord()

    def _keep(self, question: str, record: FailureRecord, seconds: float | None = None) -> None:
        seconds = self._seconds if seconds is None else min(seconds, self._seconds)
        self._records[question] = record._replace(ends=self._clock() + seconds)
        self._records.move_to_end(question)
        if len(self._records) > self._most:
            others = (each for each in self._records if not self.blocks(each))
            del self._records[next(others, next(iter(self._records)))]


class Probation:
    """Lets suspects in one by one, or so many at once that a crowd does not wait for long."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.inside = self._crowd = 0

    async def enter(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        self.inside -= 1
        self._admit()

    def _admit(self) -> None:
        there = len(self._waiting) + self.inside
        self._crowd = max(self._crowd, there) if there else 0
        width = max(1, self._crowd // PROBATION_TURNS)
        while self._waiting and self.inside < width:
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self.inside += 1
                turn.set_result(None)
