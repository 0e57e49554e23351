"""The Ray Serve application: its deployments, and how they reach each other. Imports ray.

Gateway (HTTP, holds the controller) --one call a round--> EngineReplica (one engine each)
Gateway <--one stream of the events of all its calls there-- EngineReplica
Gateway --observations in, new curves back, a few times a second--> CurveStoreActor (one replica)
Gateway --outcomes, in batches--> OutcomeStoreActor (one replica, for SQLite), or PostgreSQL
"""

import asyncio
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from scheduler.cluster.candidates import outcome_log, rollout, shadow
from scheduler.cluster.curve_store_actor import (
    CurveStoreActor,
    RemoteClaims,
    RemoteCurveStore,
)
from scheduler.cluster.outcome_store_actor import OutcomeStoreActor, RemoteStore
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
from scheduler.solving.metrics import Metrics
from scheduler.solving.outcome_log import LABELS
from scheduler.solving.pricing import Pricing
from scheduler.startup import validate
from scheduler.store.curve_snapshots import keep_snapshots
from scheduler.store.opening import is_file
from scheduler.store.settings import StoreConfig
from scheduler.tracing.spans import make_spans
from scheduler.tracing.traced import traced, traced_pool
from workers.answers.grader import Grader
from workers.answers.math_pool import MathPool

if TYPE_CHECKING:
    from scheduler.store.writer import StoreWriter

# Our own admission says who waits and who is refused; what Serve refuses, it refuses in plain text.
UNLIMITED = 1_000_000
# The store gets so long for the last outcomes of a gateway that leaves.
LAST_SECONDS = 2.0


class Gateway:
    """The HTTP process: the API in front of a controller."""

    # Serve awaits a deployment's constructor.
    async def __init__(  # type: ignore[misc]
        self,
        config: ServeConfig,
        engine: "DeploymentHandle[EngineReplica]",
        curves: "DeploymentHandle[CurveStoreActor]",
        store: "DeploymentHandle[OutcomeStoreActor] | None",
    ) -> None:
        logs.configure(config.log_level)
        self._config = config
        quarantine = Quarantine()
        spans = make_spans(config.tracing, config.engine.model)
        pool = FailoverEngine(
            traced_pool(RemoteEnginePool(engine), spans),
            quarantine=quarantine,
            watchdog_seconds=config.engine.watchdog_seconds,
            queue_seconds=config.limits.engine_seconds,
        )
        cache = CurveCache(RemoteCurveStore(curves, quarantine))
        self._claims = RemoteClaims(curves)
        self._store = _writer(config.store, store)
        info = await pool.info()
        engines = config.scaling.max_replicas if config.scaling else config.replicas
        admission = Admission(
            config.limits,
            slots=max(1, info.slots * engines // config.gateways),
            gateways=config.gateways,
        )
        policy = build_policy(config.policy.name, **config.policy_options)
        metrics = Metrics()
        self._controller = Controller(
            engine=traced(pool, spans),
            spans=spans,
            info=info,
            admission=admission,
            policy=policy,
            curves=cache,
            pricing=Pricing.of(config.pricing),
            outcomes=outcome_log(config),
            labels=outcome_log(config, LABELS),
            metrics=metrics,
            rollout=rollout(config, policy),
            shadow=shadow(config, metrics),
            store=self._store,
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
        self._tasks = [asyncio.create_task(keep_exchanging(cache))]
        if self._store is not None:
            self._tasks += [
                asyncio.create_task(self._store.run()),
                asyncio.create_task(
                    keep_snapshots(cache, self._store, config.store.snapshot_seconds)
                ),
            ]

    async def drain(self) -> int:
        """Take no new requests; how many still run or wait."""
        admission = self._controller.admission
        admission.draining = True
        beside = self._controller.shadow
        left = admission.running + admission.waiting + (beside.waiting if beside else 0)
        if self._store is not None and not left:
            await self._store.flush(LAST_SECONDS)
        return left

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
            live_page=config.live_page,
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
    store = None
    if is_file(config.store):
        store = serve.deployment(
            OutcomeStoreActor, name="OutcomeStore", ray_actor_options={"num_cpus": 0.1}
        ).bind(config.store, config.log_level)
    return serve.deployment(
        serve.ingress()(Gateway),
        name="Gateway",
        num_replicas=config.gateways,
        max_ongoing_requests=UNLIMITED,
        ray_actor_options={"num_cpus": 0.1},
        graceful_shutdown_timeout_s=leave,
        graceful_shutdown_wait_loop_s=0.5,
    ).bind(config, engine, curves, store)


def _writer(
    config: StoreConfig, store: "DeploymentHandle[OutcomeStoreActor] | None"
) -> "StoreWriter | None":
    """What brings a gateway's outcomes to the store: to its owner, or to a database."""
    if config.url is None:
        return None
    from scheduler.store.sink import StoreSink
    from scheduler.store.writer import StoreWriter

    return StoreWriter(config, StoreSink(config) if store is None else RemoteStore(store))


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
