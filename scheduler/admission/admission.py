"""Who may run now, who waits, and who is refused and may come back later.

Plain and in one event loop: batch jobs and single questions go without, a server has one for each
of its gateways.
"""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeVar

from policies.base import Limits
from scheduler.admission.access import Caller
from scheduler.admission.limits import LimitsConfig
from scheduler.admission.queue import FairQueue, tier_of
from scheduler.admission.rate_limit import Quota
from scheduler.errors import DeadlineExceeded, Draining, RateLimited, RequestError

E = TypeVar("E", bound=RequestError)

# What a query may reserve of its key's tokens if it does not say how many: four can be under way.
_PART = 4
_LONGEST_RETRY = 60.0
_APART_SECONDS = 5.0
_FIRST_GUESS = 1.0
_FORGETS = 0.1
_LEAST_SECONDS = 1e-3


@dataclass(slots=True)
class Ticket:
    """`tokens` is the most that the query may take, None: no limit; `spent` is what it took."""

    tokens: int | None
    waited: float = 0.0
    spent: int = 0

    def rest(self, limits: Limits, seconds: float | None) -> Limits:
        """What is left of a query's limits, its deadline in `seconds` from when it came."""
        left = None if seconds is None else max(_LEAST_SECONDS, seconds - self.waited)
        tokens = limits.max_total_tokens if self.tokens is None else self.tokens
        return replace(limits, max_total_tokens=tokens, deadline_seconds=left)


@dataclass(slots=True, eq=False)
class _Waiter:
    caller: str
    tier: str
    turn: "asyncio.Future[None]"
    is_in_line: bool = True


@dataclass(slots=True)
class Admission:
    """`slots` is how many chains the engines run at once; without limits everybody runs at once.

    Of so many `gateways` each has its part of a key's quotas.
    """

    limits: LimitsConfig | None = None
    slots: int | None = None
    gateways: int = 1
    rng: Random = field(default_factory=Random)
    running: int = 0
    draining: bool = False
    refused: Counter[str] = field(default_factory=Counter)
    #: Of keys; the models of one gateway share them.
    quotas: dict[str, Quota] = field(default_factory=dict)
    _line: FairQueue[_Waiter] = field(default_factory=FairQueue)
    _seconds: float = _FIRST_GUESS
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waiting(self) -> int:
        return self._line.waiting

    @property
    def max_running(self) -> float:
        if self.limits is None:
            return math.inf
        return self.limits.max_running or 2 * (self.slots or math.inf)

    def deadline(self, asked: float | None) -> float | None:
        """The seconds that a query may last, its wait included."""
        return min(asked or math.inf, self.limits.max_seconds) if self.limits else asked

    @asynccontextmanager
    async def admitted(
        self,
        caller: Caller,
        *,
        worst: int,
        stated: int | None = None,
        priority: int = 0,
        seconds: float | None = None,
    ) -> AsyncIterator[Ticket]:
        """Enter when it is this query's turn; it leaves with the block.

        `worst` is what the query may come to in tokens, `stated` what its caller allows it, and
        `seconds` its deadline. Raises Draining, RateLimited, or DeadlineExceeded while it waits.
        """
        if self.draining:
            raise self._counted(Draining())
        quota = self._quota(caller)
        most = quota.limits.tokens
        tokens = None
        if most is not None:
            tokens = min(most, stated) if stated else min(worst, max(1, most // _PART))
        if blocked := quota.blocked(tokens or 0, self._now):
            wait = self._seconds if blocked.seconds is None else blocked.seconds
            raise self._later(blocked.why, blocked.code, wait)
        ticket, began = Ticket(tokens), self._now
        reservation = quota.reserve(tokens or 0, began)
        try:
            await self._turn(caller.name, tier_of(priority), seconds)
            begun = self._now
            ticket.waited = begun - began
            try:
                yield ticket
            finally:
                self._seconds += _FORGETS * (self._now - begun - self._seconds)
                self._leave()
        finally:
            quota.settle(reservation, ticket.spent, self._now)

    async def drain(self, seconds: float) -> bool:
        """Take nothing more; whether what was taken ended within so many seconds."""
        self.draining = True
        if self.running or self.waiting:
            self._idle.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._idle.wait()
        return not (self.running or self.waiting)

    def headers(self, caller: Caller) -> dict[str, str]:
        return self._quota(caller).headers(self._now)

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _quota(self, caller: Caller) -> Quota:
        quota = self.quotas.setdefault(caller.name, Quota())
        quota.limits = caller.limits.part(self.gateways)
        return quota

    async def _turn(self, caller: str, tier: str, seconds: float | None) -> None:
        if self.running < self.max_running:
            self.running += 1
            return
        assert self.limits is not None
        if self.waiting >= self.limits.max_queue:
            loser = self._line.yields(caller=caller, tier=tier)
            if loser is None:
                raise self._full()
            self._dismiss(loser, self._full())
        loop = asyncio.get_running_loop()
        waiter = _Waiter(caller, tier, loop.create_future())
        self._line.add(waiter, caller=caller, tier=tier)
        is_flex = tier == "flex"
        patience = self.limits.flex_queue_seconds if is_flex else self.limits.queue_seconds
        if seconds is not None and seconds <= patience:
            timer = loop.call_later(seconds, self._dismiss, waiter, DeadlineExceeded(seconds))
        else:
            timer = loop.call_later(patience, lambda: self._dismiss(waiter, self._full()))
        try:
            await waiter.turn
        except asyncio.CancelledError:
            self._remove(waiter)
            if not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._leave()  # its turn had come in the same moment
            raise
        finally:
            timer.cancel()

    def _leave(self) -> None:
        self.running -= 1
        while self.waiting and self.running < self.max_running:
            waiter = self._line.pop()
            waiter.is_in_line = False
            if not waiter.turn.done():
                self.running += 1
                waiter.turn.set_result(None)
        if not (self.running or self.waiting):
            self._idle.set()

    def _dismiss(self, waiter: _Waiter, why: Exception) -> None:
        self._remove(waiter)
        if not waiter.turn.done():
            waiter.turn.set_exception(why)

    def _remove(self, waiter: _Waiter) -> None:
        if waiter.is_in_line:
            self._line.remove(waiter, caller=waiter.caller, tier=waiter.tier)
            waiter.is_in_line = False
        if not (self.running or self.waiting):
            self._idle.set()

    def _full(self) -> RateLimited:
        rounds = self.waiting / self.max_running
        why = f"{self.running} queries run and {self.waiting} wait: there is no room now"
        return self._later(why, "queue_full", rounds * self._seconds)

    def _later(self, why: str, code: str, seconds: float) -> RateLimited:
        """Clients that were refused together come back apart."""
        wait = max(1.0, seconds if code != "queue_full" else min(seconds, _LONGEST_RETRY))
        retry_after = math.ceil(wait + self.rng.uniform(0, max(_APART_SECONDS, wait / 2)))
        return self._counted(
            RateLimited(f"{why}; try again in {retry_after} s", code=code, retry_after=retry_after)
        )

    def _counted(self, error: E) -> E:
        self.refused[error.code] += 1
        return error
