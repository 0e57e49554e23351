"""Requests under which engines die, and how to find the one among many that were there.

Who was on an engine when it died is a suspect. Suspects go on, but few at a time (`Probation`), so
that the next death names one of them, and innocents are not blamed for their neighbour.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable
from time import monotonic

from workers.engine import SampleRequest

# However many suspects there are, they are through in about this many turns.
TURNS = 8


def fingerprint(request: SampleRequest) -> str:
    """Of the question: what is asked of an engine in any wave of it."""
    return hashlib.blake2b(repr((request.messages, request.suffix)).encode()).hexdigest()


class Quarantine:
    """Counts the engine deaths that are put down to a question; the latest `most` of them."""

    def __init__(
        self,
        *,
        max_deaths: int = 2,
        seconds: float = 600.0,
        most: int = 1024,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.max_deaths, self._seconds, self._most, self._clock = max_deaths, seconds, most, clock
        self._deaths: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def deaths(self, question: str) -> int:
        count, ends = self._deaths.get(question, (0, 0.0))
        return count if self._clock() < ends else 0

    def blame(self, questions: set[str], *, alone: bool) -> None:
        """An engine has died of one of these. Nobody is convicted who was not alone."""
        for question in questions:
            count = self.deaths(question) + 1
            if not alone:
                count = min(count, self.max_deaths - 1)
            self._deaths[question] = count, self._clock() + self._seconds
            self._deaths.move_to_end(question)
        while len(self._deaths) > self._most:
            self._deaths.popitem(last=False)

    def acquit(self, question: str) -> None:
        """It went on where an engine had died, and nothing happened."""
        if not self.holds(question):
            self._deaths.pop(question, None)

    def holds(self, question: str) -> bool:
        return self.deaths(question) >= self.max_deaths


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
