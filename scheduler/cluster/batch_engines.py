"""Engines of a batch job on a Ray cluster. Imports ray.

The job's controller stays in its own process: one ledger, one set of curves. The engines are Serve
replicas on whatever nodes have room. A lost node costs the chains that run there: they are gone on
with elsewhere, and its replicas start again on what is left.
"""

import contextlib
import logging
import os
import time
import uuid
from collections.abc import Iterator

import ray
from ray import serve
from ray.serve.exceptions import RayServeException

from scheduler.cluster.model_engines import engine_replicas
from scheduler.cluster.remote import RemoteEnginePool
from scheduler.cluster.unreachable import UNREACHABLE
from scheduler.config import ServeConfig
from scheduler.engines.failover import FailoverEngine

LEAVE_SECONDS = 15.0


@contextlib.contextmanager
def batch_engines(config: ServeConfig, *, address: str, replicas: int) -> Iterator[FailoverEngine]:
    """`address` is that of a cluster, or "auto" for the one that this machine or job is part of.

    Must be entered where an event loop runs. Raises ConnectionError where there is no cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    joins = not ray.is_initialized()
    if joins:
        try:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        except (ConnectionError, RuntimeError) as error:
            raise ConnectionError(f"the cluster {address} cannot be reached: {error}") from error
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    name = f"thinkbudget-batch-{uuid.uuid4().hex[:8]}"
    try:
        serve.start(proxy_location="Disabled")
        serve.run(engine_replicas(config, replicas), name=name, route_prefix=None)
        pool = RemoteEnginePool(serve.get_deployment_handle("EngineReplica", name))
        yield FailoverEngine(
            pool,
            watchdog_seconds=config.engine.watchdog_seconds,
            queue_seconds=config.limits.engine_seconds,
        )
    finally:
        with contextlib.suppress(RayServeException, *UNREACHABLE):
            _remove(name)
        if joins:
            ray.shutdown()


def _remove(name: str) -> None:
    serve.delete(name, _blocking=False)
    ends = time.monotonic() + LEAVE_SECONDS
    while name in serve.status().applications and time.monotonic() < ends:
        time.sleep(0.2)
