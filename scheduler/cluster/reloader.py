"""Reloads and restarts a running server: one gateway is asked, and brings it to the others.

Imports no ray. New engines are started before anybody hears of their model, and those of a model
that is taken away end once its last request has ended.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from scheduler.cluster.hosting import Hosting
from scheduler.config import ServeConfig
from scheduler.engines.rolling import RestartablePool, restart_in_turn
from scheduler.reloading import plan_reload
from scheduler.startup import SettingsSource

log = logging.getLogger("thinkbudget")

POLL_SECONDS = 0.5
START_SECONDS = 1800.0


class ModelEngines(Protocol):
    """The engines of models, which come and go while the server runs."""

    async def start(self, model: str, settings: ServeConfig) -> None:
        """Returns once they serve. Raises ValueError that says why they cannot."""

    async def stop(self, model: str) -> None: ...

    def pools(self, settings: ServeConfig) -> Mapping[str, RestartablePool]:
        """By model; of a server with one model, by that of its engine."""


class Gateways(Protocol):
    """All gateways of the server, this one included."""

    async def use(self, settings: ServeConfig) -> None:
        """Have all of them change to settings. Raises ValueError where this one cannot."""

    async def left(self, model: str) -> int:
        """Requests of a model that was taken away that still run."""


class Reloader:
    """`Administration` of a server whose settings came from a `source`; None: from none."""

    def __init__(
        self,
        hosting: Hosting,
        source: SettingsSource | None,
        gateways: Gateways,
        engines: ModelEngines,
    ) -> None:
        self._hosting = hosting
        self._source, self._gateways, self._engines = source, gateways, engines
        self._working = asyncio.Lock()
        self._ending: dict[str, asyncio.Task[None]] = {}

    async def reload(self) -> dict[str, Any]:
        """Read the settings again and take over what can be; what was done.

        Raises ValueError that names file, setting and value; the old settings stay then.
        """
        if self._source is None:
            raise ValueError("this server has no settings file to read again: deploy it anew")
        async with self._alone():
            new = await asyncio.to_thread(self._source.read)
            plan = plan_reload(self._hosting.settings, new)
            for model in plan.added:
                if model in self._ending:
                    raise ValueError(f"models.{model} is still ending; try again when it is gone")
            started: list[str] = []
            try:
                for model in plan.added:
                    started.append(model)
                    await self._engines.start(model, plan.settings)
                await self._gateways.use(plan.settings)
            except BaseException:
                for model in started:
                    await self._engines.stop(model)
                raise
            for model in plan.removed:
                ending = asyncio.create_task(self._end(model, plan.settings.drain_seconds))
                self._ending[model] = ending
            log.info("settings were read again: %s", plan.as_dict())
            return plan.as_dict()

    async def restart(self, model: str | None = None) -> dict[str, Any]:
        """Restart the engines of a model, or of all, one at a time; how many by model.

        Raises ValueError for a model that is not there, and where an engine does not come back.
        """
        async with self._alone():
            pools = self._engines.pools(self._hosting.settings)
            if model is not None and model not in pools:
                raise ValueError(f"model {model!r} has no engines here; there are {[*pools]}")
            chosen = pools if model is None else {model: pools[model]}
            return {
                "restarted": {
                    name: await restart_in_turn(pool, seconds=START_SECONDS)
                    for name, pool in chosen.items()
                }
            }

    def _alone(self) -> asyncio.Lock:
        if self._working.locked():
            raise ValueError("another reload or restart is under way; try again when it is done")
        return self._working

    async def _end(self, model: str, seconds: float) -> None:
        """End the engines of a model once nothing of it runs, or after so many seconds."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        await asyncio.sleep(POLL_SECONDS)
        while (running := await self._gateways.left(model)) and loop.time() < ends:
            await asyncio.sleep(POLL_SECONDS)
        if running:
            log.warning("model %s was taken away: %d of its requests were cut off", model, running)
        await self._engines.stop(model)
        del self._ending[model]
