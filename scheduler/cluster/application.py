"""The Ray Serve application: three deployments, and how they reach each other. Imports ray.

Gateway (HTTP, holds the controller) --one call a round--> EngineReplica (one engine each)
Gateway <--one stream of the events of all its calls there-- EngineReplica
Gateway --observations in, new curves back, a few times a second--> CurveStoreActor (one replica)
"""

import asyncio
import warnings
import zlib
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, RequestRouterConfig
from ray.serve.handle import DeploymentHandle

from scheduler import logs
from scheduler.admission.admission import Admission
from scheduler.api.app import make_app
from scheduler.api.batches import Batches
from scheduler.api.file_store import FileStore
from scheduler.batch.places.served import ServedBatches
from scheduler.cluster.curve_store_actor import (
    CurveStoreActor,
    RemoteClaims,
    RemoteCurveStore,
)
from scheduler.cluster.remote import RemoteEnginePool
from scheduler.cluster.replica import EngineReplica
from scheduler.cluster.token_router import TokenRouter
from scheduler.config import ServeConfig
from scheduler.curves.cache import CurveCache, keep_exchanging
from scheduler.curves.query_classes import QueryClasses
from scheduler.engines.autoscaling import TokenBacklog
from scheduler.engines.factory import check_by_vllm
from scheduler.engines.failover import FailoverEngine
from scheduler.engines.quarantine import Quarantine
from scheduler.engines.verifier import make_verifier
from scheduler.policy_file import build_policy
from scheduler.settings import from_table
from scheduler.solving.controller import Controller
from scheduler.solving.outcome_log import OutcomeLog
from scheduler.solving.pricing import Pricing
from scheduler.startup import validate
from workers.answers.grader import Grader
from workers.answers.math_pool import MathPool

# Our own admission says who waits and who is refused; what Serve refuses, it refuses in plain text.
UNLIMITED = 1_000_000


class Gateway:
    """The HTTP process: the API in front of a controller."""

    # Serve awaits a deployment's constructor.
    async def __init__(  # type: ignore[misc]
        self,
        config: ServeConfig,
        engine: "DeploymentHandle[EngineReplica]",
        curves: "DeploymentHandle[CurveStoreActor]",
    ) -> None:
        logs.configure(config.log_level)
        self._config = config
        quarantine = Quarantine()
        pool = FailoverEngine(
            RemoteEnginePool(engine),
            quarantine=quarantine,
            watchdog_seconds=config.engine.watchdog_seconds,
            queue_seconds=config.limits.engine_seconds,
        )
        cache = CurveCache(RemoteCurveStore(curves, quarantine))
        self._claims = RemoteClaims(curves)
        outcomes = None
        if config.outcomes:
            outcomes = OutcomeLog(
                Path(config.outcomes), mib=config.outcomes_mib, files=config.outcomes_files
            )
        info = await pool.info()
        engines = config.scaling.max_replicas if config.scaling else config.replicas
        admission = Admission(
            config.limits,
            slots=max(1, info.slots * engines // config.gateways),
            gateways=config.gateways,
        )
        self._controller = Controller(
            engine=pool,
            info=info,
            admission=admission,
            policy=build_policy(config.policy.name, **config.policy_options),
            curves=cache,
            pricing=Pricing.of(config.pricing),
            outcomes=outcomes,
            classes=QueryClasses.load(Path(config.classes)) if config.classes else None,
            grader=Grader(MathPool()),
            answer_specs=config.answer_specs,
            verifier=make_verifier(config.verifier, config.engine),
            seed=zlib.crc32(serve.get_replica_context().replica_id.unique_id.encode()),
        )
        self._batches = None
        if config.batches is not None:
            runner = ServedBatches(self._controller, concurrency=config.batches.concurrency)
            self._batches = Batches(FileStore(Path(config.batches.folder)), runner)
            self._batches.resume()
        self._exchanging = asyncio.create_task(keep_exchanging(cache))

    async def drain(self) -> int:
        """Take no new requests; how many still run or wait."""
        admission = self._controller.admission
        admission.draining = True
        return admission.running + admission.waiting

    def __serve_build_asgi_app__(self) -> FastAPI:
        # Serve's proxy puts the id of the request on its reply.
        config = self._config
        return make_app(
            self._controller,
            access=config.access,
            limits=config.limits,
            host=config.host,
            sends_request_id=False,
            claims=self._claims,
            batches=self._batches,
        )


def engine_replicas(config: ServeConfig, replicas: int | None = None) -> serve.Application:
    """The engines alone, `replicas` of them if that is given; Ray must be there."""
    number = _number(config) if replicas is None else {"num_replicas": replicas}
    return serve.deployment(
        EngineReplica,
        name="EngineReplica",
        **number,
        max_ongoing_requests=UNLIMITED,
        request_router_config=RequestRouterConfig(
            request_router_class=TokenRouter,
            request_router_kwargs={"slots": config.engine.max_num_seqs},
            request_routing_stats_period_s=1.0,
            request_routing_stats_timeout_s=5.0,
        ),
        ray_actor_options={"num_cpus": 0.5, "num_gpus": gpus_of_one(config)},
        health_check_period_s=2,
        health_check_timeout_s=8,
        graceful_shutdown_timeout_s=max(1.0, config.drain_seconds),
        graceful_shutdown_wait_loop_s=0.5,
    ).bind(config.engine, config.log_level)


def application(config: ServeConfig) -> serve.Application:
    """The Serve application of these settings; Ray must be there."""
    leave = max(1.0, config.drain_seconds)
    engine = engine_replicas(config)
    curves = serve.deployment(
        CurveStoreActor, name="CurveStore", ray_actor_options={"num_cpus": 0.1}
    ).bind(config.curves, config.pricing.round_tokens, config.feedback, config.log_level)
    return serve.deployment(
        serve.ingress()(Gateway),
        name="Gateway",
        num_replicas=config.gateways,
        max_ongoing_requests=UNLIMITED,
        ray_actor_options={"num_cpus": 0.1},
        graceful_shutdown_timeout_s=leave,
        graceful_shutdown_wait_loop_s=0.5,
    ).bind(config, engine, curves)


def build(args: dict[str, Any]) -> serve.Application:
    """For `serve deploy`: the arguments are the settings, as tables (deploy/serve.yaml)."""
    config = validate(from_table(ServeConfig, args))
    check_by_vllm(config.engine, whole=False)
    # Serve does not report what its proxies are bound to; on a cluster it is a network.
    config.access.require("0.0.0.0")
    return application(config)


def gpus_of_one(config: ServeConfig) -> int:
    """GPUs that one engine takes."""
    if config.engine.gpus is not None:
        return config.engine.gpus
    if not ray.cluster_resources().get("GPU"):
        return 0
    stages = int(config.engine.vllm.get("pipeline_parallel_size", 1))
    return config.engine.tensor_parallel_size * stages


def _number(config: ServeConfig) -> dict[str, Any]:
    """How many engines: so many, or as many as their tokens need."""
    if (scaling := config.scaling) is None:
        return {"num_replicas": config.replicas}
    with warnings.catch_warnings():
        # Serve 2.60 wants environment variables in the place of this setting, and reads none.
        warnings.filterwarnings("ignore", ".*metrics_interval_s", DeprecationWarning)
        scaled = AutoscalingConfig(
            min_replicas=config.replicas,
            max_replicas=scaling.max_replicas,
            metrics_interval_s=scaling.report_seconds,
            look_back_period_s=3 * scaling.report_seconds,
            upscale_delay_s=scaling.up_seconds,
            downscale_delay_s=scaling.down_seconds,
            policy=AutoscalingPolicy(
                policy_function=TokenBacklog,
                policy_kwargs={"tokens_per_replica": scaling.tokens_per_replica},
            ),
        )
    return {"autoscaling_config": scaled}
