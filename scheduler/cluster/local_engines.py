"""Engines of models in this process, and gateways beside each other: a server without Ray.

For tests and demonstrations of what happens while models come and go.
"""

import asyncio
from collections.abc import Mapping, Sequence

from scheduler.cluster.hosting import Hosting
from scheduler.config import ServeConfig
from scheduler.engines.factory import make_engine
from scheduler.engines.local_pool import LocalEnginePool


class LocalEngines:
    """`ModelEngines` that take `start_seconds` to start. Must be made where an event loop runs."""

    def __init__(self, settings: ServeConfig, *, start_seconds: float = 0.0) -> None:
        self._start_seconds = start_seconds
        self._pools = {name: self._open(name, own) for name, own in settings.by_model.items()}

    def open(self, model: str) -> LocalEnginePool:
        return self._pools[model]

    async def start(self, model: str, settings: ServeConfig) -> None:
        await asyncio.sleep(self._start_seconds)
        self._pools[model] = self._open(model, settings.of_model(model))

    async def stop(self, model: str) -> None:
        if (pool := self._pools.pop(model, None)) is not None:
            await pool.close()

    def pools(self, settings: ServeConfig) -> Mapping[str, LocalEnginePool]:
        return {name or settings.engine.model: pool for name, pool in self._pools.items()}

    def _open(self, model: str, config: ServeConfig) -> LocalEnginePool:
        names = [f"{model}#{number}" for number in range(config.replicas)]
        pool = LocalEnginePool(lambda name: make_engine(config.engine, replica=name), names)
        pool.start_seconds = self._start_seconds
        return pool


class LocalGateways:
    """`Gateways` of one process; the first is the one that is asked."""

    def __init__(self, hostings: Sequence[Hosting]) -> None:
        self._hostings = hostings

    async def use(self, settings: ServeConfig) -> None:
        number = self._hostings[0].number + 1
        for hosting in self._hostings:
            await hosting.use(number, settings)

    async def left(self, model: str) -> int:
        return sum(hosting.left(model) for hosting in self._hostings)
