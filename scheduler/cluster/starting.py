"""Starts applications on Ray Serve, and waits for the replicas that find room. Imports ray."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import ray
from ray import serve
from ray._private.state import available_resources_per_node

from scheduler.cluster.status_text import messages, reason
from scheduler.config import ServeConfig
from scheduler.engines.placement import Demand, Room, place

POLL_SECONDS = 0.2
ENGINE_CPUS, SMALL_CPUS = 0.5, 0.1
"""What Ray counts for an engine, and for each other actor."""


class CannotStart(Exception):
    """What failed, in one line."""


def gpus_of_one(config: ServeConfig) -> int:
    """GPUs that one engine takes."""
    if config.engine.gpus is not None:
        return config.engine.gpus
    if not ray.cluster_resources().get("GPU"):
        return 0
    stages = int(config.engine.vllm.get("pipeline_parallel_size", 1))
    return config.engine.tensor_parallel_size * stages


def fitting(models: Mapping[str, ServeConfig], warn: Callable[[str], None]) -> dict[str, int]:
    """How many engines of each model can be placed now; warns of those that wait for room.

    Raises ValueError for a model of which not one engine fits. Names are those of `[models]`, or
    "" of a single model.
    """
    wanted = {
        name: Demand(gpus_of_one(each), each.replicas, ENGINE_CPUS) for name, each in models.items()
    }
    nodes = available_resources_per_node().values()
    free = [Room(node.get("GPU", 0.0), node.get("CPU", 0.0)) for node in nodes]
    placement = place(free, wanted)
    for name in wanted:
        if why := placement.shortage(name):
            told = f"models.{name}: {why}" if name else why
            if not placement.fit[name]:
                raise ValueError(told)
            warn(f"{told}; the others start as soon as they do")
    return dict(placement.fit)


def run(parts: Sequence[serve.RunTarget], awaited: Mapping[str, Mapping[str, int]] | None) -> None:
    """Returns once all of it runs, or, where that is said, so many replicas of which deployments,
    by application. Raises CannotStart.
    """
    serve.run_many([*parts], wait_for_applications_running=awaited is None)
    for name, kinds in (awaited or {}).items():
        while not _ready(name, kinds):
            time.sleep(POLL_SECONDS)


def _ready(application: str, wanted: Mapping[str, int]) -> bool:
    status = serve.status().applications[application]
    if status.status in ("DEPLOY_FAILED", "UNHEALTHY"):
        raise CannotStart(reason(messages(application, status.message)))
    running: Counter[str] = Counter()
    for name, deployment in status.deployments.items():
        running[name] = deployment.replica_states.get("RUNNING", 0)
    return all(running[name] >= number for name, number in wanted.items())
