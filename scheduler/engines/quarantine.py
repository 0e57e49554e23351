"""Requests under which engines die, and how to find the one among many that were there.

Who was on an engine when it died is a suspect. Suspects go on, but few at a time (`Probation`), so
that the next death names one of them, and innocents are not blamed for their neighbour.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import NamedTuple

from workers.engine import SampleRequest

# However many suspects there are, they are through in about this many turns.
TURNS = 8
# Longer than half a second times this, suspects would hold each other up too long.
MOST_DOUBT = 16.0


def fingerprint(request: SampleRequest) -> str:
    """Of the question: what is asked of an engine in any wave of it."""
    return hashlib.blake2b(repr((request.messages, request.suffix)).encode()).hexdigest()


class FailureRecord(NamedTuple):
    """Of one question; forgotten at `ends`."""

    deaths: int = 0
    acquittals: int = 0
    ends: float = 0.0


class Quarantine:
    """Counts the engine deaths that are put down to a question.

    Keeps the latest `most` questions; those that are put away go last, as a herd that is cleared
    must not set them free. `when_told` is called with every question that was convicted elsewhere.
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
        self.when_told: Callable[[str], None] = lambda question: None

    def deaths(self, question: str) -> int:
        return self._record(question).deaths

    def blame(self, questions: set[str], *, alone: bool) -> None:
        """An engine has died of one of these. Nobody is convicted who was not alone."""
        for question in questions:
            old = self._record(question)
            deaths = old.deaths + 1 if alone else min(old.deaths + 1, self.max_deaths - 1)
            self._keep(question, old._replace(deaths=deaths))

    def acquit(self, question: str) -> None:
        """It went on where an engine had died, and nothing happened."""
        old = self._record(question)
        if old.deaths < self.max_deaths:
            self._keep(question, FailureRecord(acquittals=old.acquittals + 1))

    def doubt(self, question: str) -> float:
        """How many times as long it has to go on this time: so what kills slowly is found."""
        return min(MOST_DOUBT, 2.0 ** self._record(question).acquittals)

    def holds(self, question: str) -> bool:
        return self.deaths(question) >= self.max_deaths

    def held(self) -> dict[str, float]:
        """What is put away, and for how many seconds more."""
        now = self._clock()
        return {
            question: record.ends - now
            for question, record in self._records.items()
            if record.deaths >= self.max_deaths and record.ends > now
        }

    def hold(self, held: Mapping[str, float]) -> None:
        """Put away what was convicted elsewhere."""
        for question, seconds in held.items():
            if not self.holds(question):
                self._keep(question, FailureRecord(self.max_deaths), seconds)
                self.when_told(question)

    def _record(self, question: str) -> FailureRecord:
        record = self._records.get(question, FailureRecord())
        return record if self._clock() < record.ends else FailureRecord()

    def _keep(self, question: str, record: FailureRecord, seconds: float | None = None) -> None:
        seconds = self._seconds if seconds is None else min(seconds, self._seconds)
        self._records[question] = record._replace(ends=self._clock() + seconds)
        self._records.move_to_end(question)
        if len(self._records) > self._most:
            others = (each for each in self._records if not self.holds(each))
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
        width = max(1, self._crowd // TURNS)
        while self._waiting and self.inside < width:
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self.inside += 1
                turn.set_result(None)
