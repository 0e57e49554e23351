"""The Ray Serve application: its deployments, and how they reach each other. Imports ray.

Gateway (HTTP, holds the controllers) --one call a round--> EngineReplica (one engine each)
Gateway <--one stream of the events of all its calls there-- EngineReplica
Gateway --observations in, new curves back, a few times a second--> CurveStoreActor (one replica)
Gateway --outcomes, in batches--> OutcomeStoreActor (one replica, for SQLite), or PostgreSQL
"""

from typing import Any

from ray import serve

from scheduler.cluster.curve_store_actor import CurveStoreActor
from scheduler.cluster.gateway import Gateway
from scheduler.cluster.model_engines import UNLIMITED, engines_of_all
from scheduler.cluster.outcome_store_actor import OutcomeStoreActor
from scheduler.cluster.starting import SMALL_CPUS
from scheduler.config import ServeConfig
from scheduler.engines.factory import check_by_vllm
from scheduler.settings import from_table
from scheduler.startup import SettingsSource, validate
from scheduler.store.opening import is_file


def application(
    config: ServeConfig, source: SettingsSource | None = None, *, is_whole: bool = False
) -> serve.Application:
    """The Serve application of these settings; Ray must be there.

    The engines of several models are applications of their own, unless it `is_whole`.
    """
    leave = max(1.0, config.drain_seconds)
    engines = engines_of_all(config) if is_whole or not config.models else {}
    curves = serve.deployment(
        CurveStoreActor, name="CurveStore", ray_actor_options={"num_cpus": SMALL_CPUS}
    ).bind(config.curves, config.pricing.round_tokens, config.feedback, config.log_level)
    store = None
    if is_file(config.store):
        store = serve.deployment(
            OutcomeStoreActor, name="OutcomeStore", ray_actor_options={"num_cpus": SMALL_CPUS}
        ).bind(config.store, config.log_level)
    return serve.deployment(
        serve.ingress()(Gateway),
        name="Gateway",
        num_replicas=config.gateways,
        max_ongoing_requests=UNLIMITED,
        ray_actor_options={"num_cpus": SMALL_CPUS},
        graceful_shutdown_timeout_s=leave,
        graceful_shutdown_wait_loop_s=0.5,
    ).bind(config, engines, curves, store, source)


def build(args: dict[str, Any]) -> serve.Application:
    """For `serve deploy`: the arguments are the settings, as tables (deploy/serve.yaml)."""
    config = validate(from_table(ServeConfig, args))
    for model in config.by_model.values():
        check_by_vllm(model.engine, whole=False)
    # Serve does not report what its proxies are bound to; on a cluster it is a network.
    config.access.require("0.0.0.0")
    return application(config, is_whole=True)
