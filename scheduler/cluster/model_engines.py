"""Engines on Ray Serve: the deployment of one model's, and applications of several. Imports ray.

The engines of a single model belong to the endpoint's application. `thinkbudget serve` makes those
of several models applications of their own, so that one comes or goes and the others run on.
`serve deploy` builds one application at a time, and has them in the endpoint's.
"""

import asyncio
import contextlib
import logging
import re
import time
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, RequestRouterConfig
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from scheduler.cluster.remote import RemoteEnginePool
from scheduler.cluster.replica import EngineReplica
from scheduler.cluster.starting import ENGINE_CPUS, CannotStart, fitting, gpus_of_one, run
from scheduler.cluster.status_text import messages, reason
from scheduler.cluster.token_router import TokenRouter
from scheduler.cluster.unreachable import UNREACHABLE
from scheduler.config import ONLY, ServeConfig
from scheduler.engines.adapters import with_adapters
from scheduler.engines.autoscaling import TokenBacklog

log = logging.getLogger("thinkbudget")

# Our own admission says who waits and who is refused; what Serve refuses, it refuses in plain text.
UNLIMITED = 1_000_000
LEAVE_SECONDS = 60.0
POLL_SECONDS = 0.2


def engine_replicas(
    config: ServeConfig, replicas: int | None = None, *, name: str = "EngineReplica"
) -> serve.Application:
    """The engines alone, `replicas` of them if that is given; Ray must be there."""
    number = _number(config) if replicas is None else {"num_replicas": replicas}
    return serve.deployment(
        EngineReplica,
        name=name,
        **number,
        max_ongoing_requests=UNLIMITED,
        request_router_config=RequestRouterConfig(
            request_router_class=TokenRouter,
            request_router_kwargs={"slots": config.engine.max_num_seqs},
            request_routing_stats_period_s=1.0,
            request_routing_stats_timeout_s=5.0,
        ),
        ray_actor_options={"num_cpus": ENGINE_CPUS, "num_gpus": gpus_of_one(config)},
        health_check_period_s=2,
        health_check_timeout_s=8,
        graceful_shutdown_timeout_s=max(1.0, config.drain_seconds),
        graceful_shutdown_wait_loop_s=0.5,
    ).bind(config.engine, config.log_level, config.drain_seconds)


def engines_of_all(config: ServeConfig) -> dict[str, serve.Application]:
    """The engines of every model, as deployments of one application."""
    if not config.models:
        return {ONLY: engine_replicas(config)}
    return {
        model: engine_replicas(_started_with(config, model), name=f"EngineReplica-{_plain(model)}")
        for model in config.models
    }


def application_of(endpoint: str, model: str) -> str:
    """The name of the application of a model's engines."""
    return f"{endpoint}.{_plain(model)}.{zlib.crc32(model.encode()):08x}"


def engines_of(endpoint: str, model: str) -> "DeploymentHandle[EngineReplica]":
    handle: DeploymentHandle[EngineReplica]
    handle = serve.get_deployment_handle("EngineReplica", application_of(endpoint, model))
    return handle


def targets(config: ServeConfig, models: tuple[str, ...]) -> list[serve.RunTarget]:
    """The applications of the engines of some of the models."""
    # Large engines first: small ones would take the room on every node.
    of_each = {model: _started_with(config, model) for model in models}
    return [
        serve.RunTarget(
            engine_replicas(own),
            name=application_of(config.application, model),
            route_prefix=None,
            logging_config={"enable_access_log": False},
        )
        for model, own in sorted(of_each.items(), key=lambda each: -gpus_of_one(each[1]))
    ]


class RemoteModelEngines:
    """`ModelEngines` of the endpoint's application of this name; `pools` are those in use."""

    def __init__(self, endpoint: str, pools: dict[str, RemoteEnginePool]) -> None:
        self._endpoint, self._pools = endpoint, pools

    async def start(self, model: str, settings: ServeConfig) -> None:
        await asyncio.to_thread(self._start, model, settings)

    async def stop(self, model: str) -> None:
        self._pools.pop(model, None)
        await asyncio.to_thread(remove, application_of(self._endpoint, model))

    def pools(self, settings: ServeConfig) -> Mapping[str, RemoteEnginePool]:
        return {
            name: self._pools[name if settings.models else ONLY]
            for name in settings.models or [settings.engine.model]
        }

    def _start(self, model: str, settings: ServeConfig) -> None:
        name = application_of(self._endpoint, model)
        own = {model: settings.of_model(model)}
        fit = fitting(own, log.warning)[model]
        awaited = None if fit >= own[model].replicas else {name: {"EngineReplica": fit}}
        try:
            run(targets(settings, (model,)), awaited)
        except (CannotStart, *UNREACHABLE, RuntimeError) as error:
            why = reason(messages(name, str(error)))
            raise ValueError(f"models.{model}: its engines cannot start: {why}") from error


def remove(application: str) -> None:
    """End an application; returns once it is gone, or after some time."""
    with contextlib.suppress(RayServeException, *UNREACHABLE):
        serve.delete(application, _blocking=False)
        ends = time.monotonic() + LEAVE_SECONDS
        while application in serve.status().applications and time.monotonic() < ends:
            time.sleep(POLL_SECONDS)


def _plain(model: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]", "_", model)


def _started_with(config: ServeConfig, model: str) -> ServeConfig:
    """The settings of a model, its engine with room for its adapters."""
    own = config.of_model(model)
    return replace(own, engine=with_adapters(own.engine, config.models[model].adapters))


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
