"""Runs the workers of a training: under Ray Train, or one alone in this process.

With RAY_ADDRESS set they run on that cluster, else on this machine. The only importer of `ray`
here.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from training.sft.settings import FineTuning


class TrainingFailed(RuntimeError):
    """The workers failed more often than `parallel.max_failures` allows."""


def run_on_ray(settings: FineTuning) -> None:
    """Train with all workers. Raises TrainingFailed with the cause.

    A worker that dies takes the others with it; all are started anew, from the last checkpoint.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    parallel = settings.parallel
    started = not ray.is_initialized()
    if started:
        # Ray would run workers at the lowest priority, behind anything else on this machine.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # Without "local", Ray would join any cluster that was started on this machine.
        own = {"address": "local", "include_dashboard": False}
        own = {} if os.environ.get("RAY_ADDRESS") else own
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    resources: dict[str, float] = {"CPU": parallel.cpus_per_worker}
    if parallel.gpu:
        resources["GPU"] = 1
    try:
        TorchTrainer(
            _on_ray,
            train_loop_config={"settings": settings},
            torch_config=TorchConfig(backend="nccl" if parallel.gpu else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=parallel.workers,
                use_gpu=parallel.gpu,
                resources_per_worker=resources,
            ),
            run_config=RunConfig(
                # A new name each time: what Ray keeps of an earlier run is not what we go on from.
                name=f"run-{time.time_ns()}",
                storage_path=str((settings.folder / "ray").resolve()),
                failure_config=FailureConfig(max_failures=parallel.max_failures),
            ),
        ).fit()
    except ray.train.TrainingFailedError as error:
        raise TrainingFailed(_cause(error)) from error
    finally:
        if started:
            ray.shutdown()


def run_in_process(settings: FineTuning) -> None:
    """Train with one worker in this process, without Ray. Raises ValueError for more workers."""
    if settings.parallel.workers != 1:
        raise ValueError(
            f"parallel.workers {settings.parallel.workers}: one process is one worker; leave out "
            "--in-process, or set it to 1"
        )
    import torch.distributed

    from training.sft.worker import Worker, train

    where = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where["MASTER_PORT"] = free.getsockname()[1]
    os.environ.update({name: str(value) for name, value in where.items()})
    torch.distributed.init_process_group("nccl" if settings.parallel.gpu else "gloo")
    try:
        train(settings, Worker(0, 1, lambda metrics: None))
    finally:
        with suppress(ValueError):
            torch.distributed.destroy_process_group()


def _on_ray(config: Mapping[str, Any]) -> None:
    from ray import train as ray_train

    from training.sft.worker import Worker, train

    context = ray_train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    train(config["settings"], Worker(rank, workers, lambda m: ray_train.report(dict(m))))


def _cause(error: BaseException) -> str:
    """The last line of the first worker's error."""
    failures = getattr(error, "worker_failures", None) or {}
    first: Any = next(iter(failures.values()), error)
    while (inner := getattr(first, "cause", None) or first.__cause__) is not None:
        first = inner
    return f"{type(first).__name__}: {first}"
