"""The HTTP process: the API in front of the controllers of its models. Imports ray."""

import asyncio
import contextlib
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from scheduler import logs
from scheduler.api.app import make_app
from scheduler.api.batches.batches import Batches
from scheduler.api.batches.file_store import FileStore
from scheduler.batch.places.served import ServedBatches
from scheduler.cluster.curve_store_actor import (
    CurveStoreActor,
    RemoteClaims,
    RemoteCurveStore,
    RemotePart,
)
from scheduler.cluster.hosting import Hosting
from scheduler.cluster.model_engines import RemoteModelEngines, engines_of
from scheduler.cluster.outcome_store_actor import OutcomeStoreActor, RemoteStore
from scheduler.cluster.reloader import Reloader
from scheduler.cluster.remote import RemoteEnginePool
from scheduler.cluster.replica import EngineReplica
from scheduler.cluster.unreachable import UNREACHABLE
from scheduler.config import ServeConfig
from scheduler.curves.cache import CurveCache, keep_exchanging
from scheduler.engines.quarantine import Quarantine
from scheduler.startup import SettingsSource
from scheduler.store.curve_snapshots import keep_snapshots
from scheduler.store.settings import StoreConfig
from workers.answers.grader import Grader
from workers.answers.math_pool import MathPool

if TYPE_CHECKING:
    from scheduler.store.writer import StoreWriter

log = logging.getLogger("thinkbudget")

# The store gets so long for the last outcomes of a gateway that leaves.
LAST_SECONDS = 2.0
# Gateways ask so often whether there are newer settings.
SETTINGS_SECONDS = 1.0
# A gateway that does not reply in time learns of new settings a little later.
BROADCAST_SECONDS = 30.0


class Gateway:
    """`engines` are those of the models, where they are in this application; others are looked up.

    `source` is where the settings came from, if they can be read again.
    """

    # Serve awaits a deployment's constructor.
    async def __init__(  # type: ignore[misc]
        self,
        config: ServeConfig,
        engines: "Mapping[str, DeploymentHandle[EngineReplica]]",
        curves: "DeploymentHandle[CurveStoreActor]",
        store: "DeploymentHandle[OutcomeStoreActor] | None",
        source: SettingsSource | None = None,
    ) -> None:
        logs.configure(config.log_level)
        quarantine = Quarantine()
        cache = CurveCache(RemoteCurveStore(curves, quarantine))
        self._board = RemotePart(curves, "settings", LAST_SECONDS)
        self._curves = RemotePart(curves, "curves", LAST_SECONDS)
        self._claims = RemoteClaims(curves)
        self._store = _writer(config.store, store)
        number = 0
        with contextlib.suppress(ConnectionError):
            number, newer = await self._board.newer(0)
            config = newer or config
        self._pools: dict[str, RemoteEnginePool] = {}

        def open_pool(model: str) -> RemoteEnginePool:
            handle = engines.get(model) or engines_of(config.application, model)
            self._pools[model] = RemoteEnginePool(handle)
            return self._pools[model]

        self.hosting = Hosting(
            config,
            cache,
            open_pool,
            quarantine,
            self._store,
            Grader(MathPool()),
            zlib.crc32(serve.get_replica_context().replica_id.unique_id.encode()),
            number,
        )
        await self.hosting.start()
        self._reloader = Reloader(
            self.hosting, source, self, RemoteModelEngines(config.application, self._pools)
        )
        self._batches = None
        if config.batches is not None:
            runner = ServedBatches(
                self.hosting.endpoint.complete, concurrency=config.batches.concurrency
            )
            self._batches = Batches(FileStore(Path(config.batches.folder)), runner)
            self._batches.resume()
        self._tasks = [
            asyncio.create_task(keep_exchanging(cache)),
            asyncio.create_task(self._keep_settings()),
        ]
        if self._store is not None:
            self._tasks += [
                asyncio.create_task(self._store.run()),
                asyncio.create_task(
                    keep_snapshots(cache, self._store, config.store.snapshot_seconds)
                ),
            ]

    async def drain(self) -> int:
        """Take no new requests; how many still run or wait."""
        left = self.hosting.drain()
        if self._store is not None and not left:
            await self._store.flush(LAST_SECONDS)
        return left

    async def reload(self) -> dict[str, Any]:
        """What was reloaded; `error` says why nothing was."""
        try:
            return await self._reloader.reload()
        except ValueError as error:
            return {"error": " ".join(str(error).split())}

    async def take_settings(self, number: int, settings: ServeConfig) -> None:
        await self.hosting.use(number, settings)
        logs.configure(settings.log_level)

    async def running_of(self, model: str) -> int:
        return self.hosting.left(model)

    async def use(self, settings: ServeConfig) -> None:
        """As `Gateways` says: here first, then in all others."""
        number = self.hosting.number + 1
        await self.take_settings(number, settings)
        try:
            await self._board.put(number, settings)
            await self._curves.configure(settings.pricing.round_tokens, settings.feedback)
        except ConnectionError as error:
            log.warning("other gateways hear of the settings later: %s", error)
        await self._others("take_settings", number, settings)

    async def left(self, model: str) -> int:
        """As `Gateways` says; one that does not reply may have some."""
        found = await self._others("running_of", model)
        return 1 if found is None else sum(found)

    async def _others(self, method: str, *args: Any) -> list[Any] | None:
        """What all gateways reply, this one included; None where one does not."""
        gateways = serve.get_deployment_handle("Gateway", self.hosting.settings.application)
        try:
            async with asyncio.timeout(BROADCAST_SECONDS):
                replies: list[Any] = await gateways.broadcast(method, *args).results_async()
                return replies
        except (*UNREACHABLE, TimeoutError) as error:
            log.warning("not all gateways have replied: %s", type(error).__name__)
            return None

    async def _keep_settings(self) -> None:
        """Follow the board; bring it what it has lost with its process."""
        while True:
            await asyncio.sleep(SETTINGS_SECONDS)
            hosting = self.hosting
            try:
                number, newer = await self._board.newer(hosting.number)
                if newer is not None:
                    await self.take_settings(number, newer)
                elif number < hosting.number:
                    await self._board.put(hosting.number, hosting.settings)
            except ConnectionError:
                continue
            except Exception:
                log.exception("the settings of the other gateways cannot be taken over here")

    def __serve_build_asgi_app__(self) -> FastAPI:
        # Serve's proxy puts the id of the request on its reply.
        config = self.hosting.settings
        return make_app(
            self.hosting.endpoint,
            host=config.host,
            sends_request_id=False,
            claims=self._claims,
            batches=self._batches,
            live_page=config.live_page,
            administration=self._reloader,
        )


def _writer(
    config: StoreConfig, store: "DeploymentHandle[OutcomeStoreActor] | None"
) -> "StoreWriter | None":
    """What brings a gateway's outcomes to the store: to its owner, or to a database."""
    if config.url is None:
        return None
    from scheduler.store.sink import StoreSink
    from scheduler.store.writer import StoreWriter

    return StoreWriter(config, StoreSink(config) if store is None else RemoteStore(store))
