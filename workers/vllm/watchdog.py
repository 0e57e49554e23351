"""Tells a core that hangs from one that reads a long prompt: neither says anything.

A prompt is read without a word until its first token is drawn. How long that may take follows from
its length and from how fast this core has read prompts so far.
"""

import time
from collections import deque
from collections.abc import Callable

# Times that the slowest prompt so far may be surpassed, and of how many prompts it is the slowest.
SLACK, MEASURED = 4.0, 8
# Shorter prompts tell more of a call's overhead than of the reading.
LEAST_TOKENS = 16


class Prefill:
    """A prompt that a core was given, until its first token."""

    __slots__ = ("began", "tokens")

    def __init__(self, tokens: int, began: float) -> None:
        self.tokens, self.began = tokens, began


class Watchdog:
    """What a core has said, and when silence means that it hangs.

    `seconds` is the longest silence where no prompt is being read. `seconds_per_token` is assumed
    of the reading until it is measured; `step_tokens` is how many tokens the core reads at once.
    """

    def __init__(
        self,
        seconds: float,
        *,
        seconds_per_token: float,
        step_tokens: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._step_tokens, self._clock = seconds, step_tokens, clock
        self._assumed = seconds_per_token
        self._measured: deque[float] = deque(maxlen=MEASURED)
        self._reading: set[Prefill] = set()
        self._working = 0
        self._heard = clock()

    @property
    def working(self) -> int:
        """Requests that the core has."""
        return self._working

    @property
    def limit(self) -> float:
        """Seconds of silence beyond which the core counts as hung, now."""
        if not self._reading:
            return self._seconds
        lengths = [prefill.tokens for prefill in self._reading]
        # The first prompt to be done is at most as long as the longest, and shares its steps.
        unheard = min(sum(lengths), max(lengths) + self._step_tokens)
        pace = SLACK * max(self._measured) if self._measured else self._assumed
        return self._seconds + unheard * pace

    def begin(self, tokens: int) -> Prefill:
        """The core is given a request with a prompt of so many tokens."""
        now = self._clock()
        if not self._working:
            self._heard = now
        self._working += 1
        prefill = Prefill(tokens, now)
        self._reading.add(prefill)
        return prefill

    def heard(self, prefill: Prefill, cached: int = 0) -> None:
        """The core says something of a request, `cached` tokens of whose prompt it knew before."""
        now = self._clock()
        if prefill in self._reading:
            self._reading.remove(prefill)
            read = prefill.tokens - cached
            # Otherwise others spoke meanwhile, and the core did more than read this prompt.
            if read >= LEAST_TOKENS and self._heard <= prefill.began:
                self._measured.append((now - prefill.began) / read)
        self._heard = now

    def end(self, prefill: Prefill) -> None:
        """The request is over."""
        self._reading.discard(prefill)
        self._working -= 1

    @property
    def silence(self) -> float:
        """Seconds since the core, having work, said something."""
        return self._clock() - self._heard if self._working else 0.0

    def overdue(self) -> float | None:
        """Seconds of a silence that is too long; None while all is well."""
        silence = self.silence
        return silence if silence > self.limit else None
