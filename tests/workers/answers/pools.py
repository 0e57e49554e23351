"""A pool of real processes for the tests of one module, on a loop with real time."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from workers.answers.equality import Equality
from workers.answers.math_pool import MathPool, PoolLimits

Result = TypeVar("Result")


class RealPool:
    """`run` gives what a coroutine returns; all of them share `pool` and `equality`."""

    def __init__(self, runner: asyncio.Runner, limits: PoolLimits | None = None) -> None:
        self._runner = runner
        self.pool = MathPool(limits)
        self.equality = Equality(self.pool)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(work)


def real_pool(limits: PoolLimits | None = None) -> Iterator[RealPool]:
    """To be yielded from by a fixture of a module."""
    with asyncio.Runner() as runner:
        shared = RealPool(runner, limits)
        try:
            yield shared
        finally:
            runner.run(shared.pool.close())
