"""What one key took lately: moving windows of requests and tokens, and worst cases under way."""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from scheduler.admission.limits import KeyLimits

MINUTE, DAY = 60.0, 86_400.0
_SLOTS = 500


@dataclass(slots=True, eq=False)
class _Slot:
    """What was taken from `began` to `ended`; it leaves the window as its last part does."""

    began: float
    ended: float
    amount: int


@dataclass(slots=True)
class RateWindow:
    """Amounts of the last `seconds`, never too few of them: a slot is kept until all of it is old.

    What is taken within a 500th of the window shares a slot, so memory is bounded.
    """

    seconds: float
    total: int = 0
    _slots: deque[_Slot] = field(default_factory=deque)

    def wait(self, amount: int, most: int, now: float) -> float:
        """Seconds until so much more fits into `most`; 0: now. More than `most` waits for all."""
        self._forget(now)
        excess = self.total + amount - most
        if excess <= 0:
            return 0.0
        for slot in self._slots:
            excess -= slot.amount
            if excess <= 0:
                return slot.ended + self.seconds - now
        return self.seconds

    def take(self, amount: int, now: float) -> _Slot:
        self._forget(now)
        if not self._slots or now - self._slots[-1].began > self.seconds / _SLOTS:
            self._slots.append(_Slot(now, now, 0))
        slot = self._slots[-1]
        slot.ended = now
        slot.amount += amount
        self.total += amount
        return slot

    def give_back(self, slot: _Slot, amount: int, now: float) -> None:
        """Part of what was taken; that counts for nothing if it has left the window by now."""
        self._forget(now)
        slot.amount -= amount
        if slot.ended > now - self.seconds:
            self.total -= amount

    def _forget(self, now: float) -> None:
        while self._slots and self._slots[0].ended <= now - self.seconds:
            self.total -= self._slots.popleft().amount


class Blocked(NamedTuple):
    """Why a request does not fit now, and for how long; None: until one under way has ended."""

    why: str
    code: str
    seconds: float | None


class Reservation(NamedTuple):
    tokens: int
    slots: tuple[tuple[RateWindow, _Slot], ...]


@dataclass(slots=True)
class Quota:
    """One key's account. What its limits leave open is not counted."""

    limits: KeyLimits = field(default_factory=KeyLimits)
    reserved: int = 0
    requests: RateWindow = field(default_factory=lambda: RateWindow(MINUTE))
    minute: RateWindow = field(default_factory=lambda: RateWindow(MINUTE))
    day: RateWindow = field(default_factory=lambda: RateWindow(DAY))

    def blocked(self, tokens: int, now: float) -> Blocked | None:
        """What stands in the way of a request whose worst case is so many tokens."""
        limits = self.limits
        for window, amount, most, name in (
            (self.requests, 1, limits.requests_per_minute, "requests_per_minute"),
            (self.minute, tokens, limits.tokens_per_minute, "tokens_per_minute"),
            (self.day, tokens, limits.tokens_per_day, "tokens_per_day"),
        ):
            if most is not None and (seconds := window.wait(amount, most, now)) > 0:
                why = f"{name} of this key is {most}: {window.total} taken, {amount} asked for"
                is_day = window is self.day
                code = "insufficient_quota" if is_day else "rate_limit_exceeded"
                return Blocked(why, code, seconds)
        most = limits.reserved_tokens
        if most is not None and self.reserved + tokens > most:
            why = f"reserved_tokens of this key is {most}: {self.reserved} taken, {tokens} asked"
            return Blocked(why, "rate_limit_exceeded", None)
        return None

    def reserve(self, tokens: int, now: float) -> Reservation:
        limits, slots = self.limits, []
        if limits.requests_per_minute is not None:
            self.requests.take(1, now)
        if limits.tokens_per_minute is not None:
            slots.append((self.minute, self.minute.take(tokens, now)))
        if limits.tokens_per_day is not None:
            slots.append((self.day, self.day.take(tokens, now)))
        self.reserved += tokens
        return Reservation(tokens, tuple(slots))

    def settle(self, reservation: Reservation, spent: int, now: float) -> None:
        """The query is over: what it did not spend is given back."""
        self.reserved -= reservation.tokens
        for window, slot in reservation.slots:
            window.give_back(slot, reservation.tokens - spent, now)

    def headers(self, now: float) -> dict[str, str]:
        """OpenAI's x-ratelimit headers, of the limits that are set."""
        headers = {}
        for kind, window, most in (
            ("requests", self.requests, self.limits.requests_per_minute),
            ("tokens", self.minute, self.limits.tokens_per_minute),
        ):
            if most is not None:
                reset = window.wait(most, most, now)
                headers[f"x-ratelimit-limit-{kind}"] = str(most)
                headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, most - window.total))
                headers[f"x-ratelimit-reset-{kind}"] = f"{reset:.3f}s"
        return headers
