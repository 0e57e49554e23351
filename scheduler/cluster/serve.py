"""The coat of Ray Serve: three deployments, and how they reach each other. Imports ray.

Gateway (HTTP, holds the controller) --one call a wave--> EngineReplica (one engine each)
Gateway --observations in, new curves back, a few times a second--> Bookkeeper (one replica)
"""

import asyncio
import logging
import os
import socket
from pathlib import Path

import ray
from fastapi import FastAPI
from ray import serve
from ray.serve.config import RequestRouterConfig
from ray.serve.handle import DeploymentHandle

from policies import build
from scheduler.api.app import make_app
from scheduler.bookcopy import BookCopy
from scheduler.cluster.bookkeeper import Bookkeeper, RemoteBook, keep_exchanging
from scheduler.cluster.remote import RemoteEngine
from scheduler.cluster.replica import EngineReplica
from scheduler.cluster.routing import HomeRouter
from scheduler.config import ServeConfig
from scheduler.controller import Controller
from scheduler.pricing import Pricing
from scheduler.query_classes import QueryClasses

APPLICATION = "thinkbudget"


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
