"""The sizes of the fleet, and what its parts cost: CPU time of the real code, by operation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import process_time
from typing import Final, NamedTuple

ENGINES: Final = 1000
GATEWAYS: Final = 50
CLASSES: Final = 1000
REQUESTS: Final = 5000.0
"""A second, of all gateways."""
DEATHS_AN_HOUR: Final = 0.01
"""Of the engines."""
MACHINES: Final = 10.0
"""The goal: shared parts hold so many times the load that one gateway's core can serve."""


class Cost(NamedTuple):
    """One part. `seconds` of a core an operation, `rate` operations a second of the whole fleet,
    `cores` that the fleet may give to it (1: a single process; the gateways: one each).
    """

    name: str
    seconds: float
    rate: float
    cores: float = 1.0

    @property
    def load(self) -> float:
        """Cores that the fleet needs for it."""
        return self.seconds * self.rate

    @property
    def saturates_at(self) -> float:
        """Requests a second of the fleet at which all its cores are taken."""
        return REQUESTS * self.cores / self.load

    def row(self) -> str:
        return (
            f"{self.name:<44} {1e6 * self.seconds:10.1f} us x {self.rate:7.0f}/s = "
            f"{self.load:7.3f} of {self.cores:g} cores; saturates at {self.saturates_at:9.0f} "
            "requests/s"
        )


@dataclass(slots=True)
class Core:
    """The core of one process on simulated time: work lasts as long as its CPU time.

    `now` is its clock. Work that comes while it is busy waits for it.
    """

    free: float = 0.0
    busy: float = 0.0
    _began: float = field(default=0.0, init=False)
    _is_working: bool = field(default=False, init=False)

    def now(self) -> float:
        return self.free + (process_time() - self._began if self._is_working else 0.0)

    @contextmanager
    def working(self, at: float) -> Iterator[None]:
        """The block is work that comes at this moment."""
        self.free, self._began, self._is_working = max(at, self.free), process_time(), True
        try:
            yield
        finally:
            took = process_time() - self._began
            self._is_working = False
            self.free += took
            self.busy += took


def seconds_each(work: Callable[[], object], count: int) -> float:
    """CPU seconds of one call: the least mean of five parts, which other work disturbs least."""
    part, best = max(1, count // 5), float("inf")
    for _ in range(5):
        began = process_time()
        for _ in range(part):
            work()
        best = min(best, (process_time() - began) / part)
    return best
