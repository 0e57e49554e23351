"""Work that takes a share of a process's time, so that what is waited for goes first."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """`share` of the time is for the work. Time that it leaves is kept up to `most_seconds`."""

    share: float = 0.25
    most_seconds: float = 0.125
    #: Seconds from any beginning.
    clock: Callable[[], float] = time.perf_counter
    _saved: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1], got {self.share!r}")
        self._saved, self._at = self.most_seconds, self.clock()

    @property
    def allows(self) -> bool:
        """Whether one more piece of work may begin now."""
        now = self.clock()
        self._saved = min(self.most_seconds, self._saved + self.share * (now - self._at))
        self._at = now
        return self._saved > 0

    @contextmanager
    def working(self) -> Iterator[None]:
        """The time of the block is what a piece of work takes."""
        began = self.clock()
        try:
            yield
        finally:
            self._saved -= self.clock() - began
