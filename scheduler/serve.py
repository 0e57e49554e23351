"""The coat of Ray Serve: three deployments, and how they reach each other. Imports ray.

    Gateway (HTTP, holds the controller) --one call a wave--> EngineReplica (one engine each)
    Gateway --observations in, new curves back, a few times a second--> Bookkeeper (one replica)

The Bookkeeper is off the request path: while it is away, gateways serve on with the curves they
have, and keep what they would have told it.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import psutil
import ray
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.config import RequestRouterConfig
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from policies import build
from scheduler.app import make_app
from scheduler.bookcopy import BookCopy
from scheduler.config import EngineConfig, ServeConfig
from scheduler.controller import Controller
from scheduler.curvebook import Edition, Report
from scheduler.engines import make_engine
from scheduler.journal import KeptBook
from scheduler.pricing import Pricing
from scheduler.query_classes import QueryClasses
from scheduler.routing import HomeRouter
from workers.engine import EngineInfo, Event, Load, Refused, SampleRequest
from workers.sample import Accepted, Sample, lost

log = logging.getLogger("thinkbudget")

APPLICATION = "thinkbudget"
EXCHANGE_SECONDS = 0.25
LOCK_SECONDS = 10.0
Batch = list[Event] | Refused


class EngineReplica:
    """One engine. What is ready together travels together: a message costs more than an event.

    A replica whose engine has died, or hangs, leaves at once: a dead engine answers fastest, and
    would attract requests until Serve has failed its health three times.
    """

    def __init__(self, config: EngineConfig) -> None:
        name = serve.get_replica_context().replica_id.unique_id
        self._engine = make_engine(config, replica=name)

    async def info(self) -> EngineInfo:
        return await self._engine.info()

    async def load(self) -> Load:
        return await self._engine.load()

    async def cancel(self, query: str, chain: int | None = None) -> None:
        await self._engine.cancel(query, chain)

    async def conclude(self, query: str, chain: int) -> None:
        await self._engine.conclude(query, chain)

    async def check(self) -> None:
        try:
            await self._engine.check()
        except Exception as error:
            log.error("this engine is replaced: %s", error)
            _leave()

    async def check_health(self) -> None:
        await self.check()

    async def sample(self, request: SampleRequest) -> AsyncGenerator[Batch]:
        held: list[Event] = []
        try:
            async for event in self._engine.sample(request):
                held.append(event)
                # Without a stream nobody needs to know early that the request was taken.
                if request.stream is not None or not isinstance(event, Accepted):
                    yield held
                    held = []
                if isinstance(event, Sample) and event.stop_cause == "lost":
                    await self.check()
        except Refused as refused:
            yield refused

    async def __del__(self) -> None:
        await self._engine.close()


def _leave() -> None:
    """End this process and all that it started, a core that is stopped or stuck included."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)


class RemoteEngine:
    """The engine replicas seen from a gateway: an `Engine` again."""

    def __init__(self, handle: "DeploymentHandle[EngineReplica]") -> None:
        self._handle = handle
        self._stream = handle.options(stream=True)

    async def info(self) -> EngineInfo:
        info: EngineInfo = await self._handle.info.remote()
        return info

    async def load(self) -> Load:
        load: Load = await self._handle.load.remote()
        return load

    async def cancel(self, query: str, chain: int | None = None) -> None:
        await self._handle.broadcast("cancel", query, chain).results_async()

    async def conclude(self, query: str, chain: int) -> None:
        await self._handle.broadcast("conclude", query, chain).results_async()

    async def check(self) -> None:
        await self._handle.check.remote()

    async def close(self) -> None:
        """Replicas end with the application."""

    async def sample(self, request: SampleRequest) -> AsyncGenerator[Event]:
        waiting = set(request.chains)
        response = self._stream.sample.remote(request)
        try:
            async for batch in response:
                if isinstance(batch, Refused):
                    raise batch
                for event in batch:
                    if isinstance(event, Sample):
                        waiting.discard(event.chain)
                    yield event
        except RayActorError as error:
            log.warning("query %s: an engine died: %s", request.query, type(error).__name__)
            for chain in sorted(waiting):
                yield lost(chain)
        finally:
            response.cancel()


class Bookkeeper:
    """The one writer of the curves; keeps them in a file when it is given one."""

    def __init__(self, path: str | None) -> None:
        self._kept = KeptBook(Path(path) if path else None, wait_seconds=LOCK_SECONDS)

    async def exchange(self, report: Report, life: str, version: int) -> Edition:
        return self._kept.exchange(report, life, version)

    async def export(self) -> dict[str, Any]:
        return self._kept.book.as_dict()

    def __del__(self) -> None:
        self._kept.close()


class RemoteBook:
    """The Bookkeeper seen from a gateway."""

    def __init__(self, handle: "DeploymentHandle[Bookkeeper]") -> None:
        self._handle = handle

    async def exchange(self, report: Report, life: str, version: int) -> Edition:
        edition: Edition = await self._handle.exchange.remote(report, life, version)
        return edition

    async def export(self) -> dict[str, Any]:
        book: dict[str, Any] = await self._handle.export.remote()
        return book


async def keep_exchanging(copy: BookCopy) -> None:
    while True:
        await asyncio.sleep(EXCHANGE_SECONDS)
        try:
            await copy.exchange()
        except (RayError, RayServeException) as error:
            log.warning("the bookkeeper is away: %s", type(error).__name__)


class Gateway:
    """The ingress: HTTP in front, a controller behind."""

    # Serve awaits a deployment's constructor.
    async def __init__(  # type: ignore[misc]
        self,
        config: ServeConfig,
        engine: "DeploymentHandle[EngineReplica]",
        book: "DeploymentHandle[Bookkeeper]",
    ) -> None:
        remote = RemoteEngine(engine)
        copy = BookCopy(RemoteBook(book))
        outcomes = open(config.outcomes, "a", encoding="utf-8") if config.outcomes else None  # noqa: SIM115
        self._controller = Controller(
            engine=remote,
            info=await remote.info(),
            policy=build(config.policy.name, **config.policy_options),
            book=copy,
            pricing=Pricing.of(config.pricing),
            outcomes=outcomes,
            classes=QueryClasses.load(Path(config.classes)) if config.classes else None,
        )
        self._exchanging = asyncio.create_task(keep_exchanging(copy))

    def __serve_build_asgi_app__(self) -> FastAPI:
        return make_app(self._controller)


def application(config: ServeConfig) -> serve.Application:
    """The Serve application; also what `serve build` would deploy on a cluster."""
    gpus = config.engine.tensor_parallel_size if _has_gpus() else 0
    concurrency = 4 * config.engine.max_num_seqs
    engine = serve.deployment(
        EngineReplica,
        name="Engine",
        num_replicas=config.replicas,
        max_ongoing_requests=concurrency,
        request_router_config=RequestRouterConfig(request_router_class=HomeRouter),
        ray_actor_options={"num_cpus": 0.5, "num_gpus": gpus},
        health_check_period_s=2,
        health_check_timeout_s=30,
        graceful_shutdown_timeout_s=3,
        graceful_shutdown_wait_loop_s=0.5,
    ).bind(config.engine)
    book = serve.deployment(Bookkeeper, name="CurveBook", ray_actor_options={"num_cpus": 0.1}).bind(
        config.curves
    )
    return serve.deployment(
        serve.ingress()(Gateway),
        name="Controller",
        num_replicas=config.controllers,
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0.1},
    ).bind(config, engine, book)


def start(config: ServeConfig, *, verbose: bool = False) -> None:
    """Start Ray (or join the cluster that RAY_ADDRESS names) and serve; returns once ready.

    Raises ValueError when the port is taken.
    """
    require_port(config.host, config.port)
    local = "RAY_ADDRESS" not in os.environ
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    level = logging.INFO if verbose else logging.ERROR
    if local:
        # Ray would run engines at the lowest priority, behind anything else on a laptop.
        os.environ.setdefault("RAY_worker_niceness", "0")
        ray.init(
            num_cpus=max(2, os.cpu_count() or 2),
            include_dashboard=False,
            object_store_memory=200 << 20,
            log_to_driver=verbose,
            logging_level=level,
            configure_logging=True,
        )
    else:
        ray.init(log_to_driver=verbose, logging_level=level)
    logging.getLogger("ray.serve").setLevel(level)
    serve.start(http_options={"host": config.host, "port": config.port})
    serve.run(application(config), name=APPLICATION, route_prefix="/")


def stop() -> None:
    """End the application; a Ray that `start` started ends with it, and leaves no process."""
    if ray.is_initialized():
        serve.delete(APPLICATION)
        ray.shutdown()


def require_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = f"port {port} on {host} cannot be used ({error.strerror}); choose another"
            raise ValueError(f"{message} with --port") from None


def _has_gpus() -> bool:
    return bool(ray.cluster_resources().get("GPU", 0))
