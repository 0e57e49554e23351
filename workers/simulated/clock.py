"""An event loop on virtual time: sleeping costs nothing, and the order of events stays exact.

Simulations run under it (`run_virtual(main())`), so an hour of served traffic takes a moment and
gives the same outcome every time. Not for loops that wait for real sockets or processes.
"""

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _InstantSelector(selectors.DefaultSelector):
    """Instead of waiting, moves the loop's clock on to the next timer."""

    now = 0.0
    latest = math.inf

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            # Nothing is scheduled: only another thread or a real event can wake the loop.
            return super().select(None)
        self.now += max(0.0, timeout)
        if self.now > self.latest:
            latest, self.latest = self.latest, math.inf  # what is cancelled now may end
            raise TimeoutError(f"not done after {latest:g} s of virtual time")
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self, latest: float = math.inf) -> None:
        self._instant = _InstantSelector()
        self._instant.latest = latest
        super().__init__(self._instant)

    def time(self) -> float:
        return self._instant.now


def run_virtual(main: Coroutine[Any, Any, T], *, latest: float = math.inf) -> T:
    """Run `main` to its end on virtual time, starting at second 0.

    Raises TimeoutError when that takes more than `latest` seconds: what waits for something that
    never comes would run for ever if anything ticks beside it.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(latest)) as runner:
        return runner.run(main)
