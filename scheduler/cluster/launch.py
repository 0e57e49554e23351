"""Starts, drains and ends the endpoint of `thinkbudget serve`. Imports ray."""

import contextlib
import logging
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Callable

import psutil
import ray
from ray import serve
from ray._private.state import available_resources_per_node
from ray.serve.exceptions import RayServeException

from scheduler.cluster.application import APPLICATION, application, gpus_of_one
from scheduler.cluster.unreachable import UNREACHABLE
from scheduler.config import ServeConfig
from scheduler.engines.placement import engines_that_fit, shortage

POLL_SECONDS = 0.2
KEEP_ALIVE_SECONDS = 90
CONTROLLER = {
    # A replica that hangs would keep its GPUs for as long as others get to finish.
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
    # A proxy that is not there after 5 s, as on a busy machine, is killed and begun anew, and who
    # waits for it is told that it has died.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "55",
}
LEAVE_SECONDS = 15.0


class CannotStart(Exception):
    """What failed, in one line."""


def start(
    config: ServeConfig, *, verbose: bool = False, warn: Callable[[str], None] = print
) -> None:
    """Start Ray (or join the cluster that RAY_ADDRESS names) and serve; returns once ready.

    Where some engines fit and others do not, it serves with those, and warns. Raises ValueError
    when the port is taken, or when not one engine fits, and CannotStart when an engine fails.
    """
    require_port(config.host, config.port)
    _join(verbose)
    fit = _fitting(config, warn)
    try:
        serve.start(
            http_options={
                "host": config.host,
                "port": config.port,
                "request_timeout_s": None,
                "keep_alive_timeout_s": KEEP_ALIVE_SECONDS,
            },
            controller_options={"runtime_env": {"env_vars": CONTROLLER}},
        )
        target = serve.RunTarget(application(config), name=APPLICATION, route_prefix="/")
        serve.run_many([target], wait_for_applications_running=fit >= config.replicas)
        while not _ready(fit):
            time.sleep(POLL_SECONDS)
    except (*UNREACHABLE, RuntimeError) as error:
        raise CannotStart(_reason(_told(str(error)))) from error


def drain(seconds: float) -> int:
    """Refuse what is new and let finish what runs, for so long; how many requests still run."""
    controllers = serve.get_deployment_handle("Controller", APPLICATION)
    ends = time.monotonic() + seconds
    while True:
        try:
            running: int = sum(controllers.broadcast("drain").results(timeout_s=LEAVE_SECONDS))
        except (*UNREACHABLE, TimeoutError):
            running = 1  # a controller is being replaced, and nobody can say
        if not running or time.monotonic() >= ends:
            return running
        time.sleep(POLL_SECONDS)


def stop() -> None:
    """End the application; a Ray that `start` started ends with it, and leaves no process."""
    if not ray.is_initialized():
        return
    ours = psutil.Process().children(recursive=True)
    with contextlib.suppress(RayServeException):
        serve.delete(APPLICATION, _blocking=False)
        ends = time.monotonic() + LEAVE_SECONDS
        while APPLICATION in serve.status().applications and time.monotonic() < ends:
            time.sleep(POLL_SECONDS)
    ray.shutdown()
    _, left = psutil.wait_procs(ours, timeout=1)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def require_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = f"port {port} on {host} cannot be used ({error.strerror}); choose another"
            raise ValueError(f"{message} with --port") from None


def _join(verbose: bool) -> None:
    if ray.is_initialized():
        return
    level = logging.INFO if verbose else logging.ERROR
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # Replicas never block their loop, so threads of its own for it, and for routing, only cost.
    os.environ.setdefault("RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD", "0")
    os.environ.setdefault("RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP", "0")
    if "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=verbose, logging_level=level)
    else:
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
    logging.getLogger("ray.serve").setLevel(level)


def _fitting(config: ServeConfig, warn: Callable[[str], None]) -> int:
    """How many of the engines can be placed now."""
    if (gpus := gpus_of_one(config)) == 0:
        return config.replicas
    free = [node.get("GPU", 0.0) for node in available_resources_per_node().values()]
    if told := shortage(free, gpus=gpus, replicas=config.replicas):
        if (fit := engines_that_fit(free, gpus)) == 0:
            raise ValueError(told)
        warn(f"{told}; the others start as soon as they do")
        return fit
    return config.replicas


def _reason(told: str) -> str:
    """The error itself, out of the traces that it has come with from another process."""
    told = re.sub(r"\x1b\[[0-9;]*m", "", told)  # Ray writes in colours
    named = re.findall(r"^\W*((?:\w+\.)*\w*(?:Error|Exception|Died|Exit)\b.*)", told, re.MULTILINE)
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return " ".join((named or lines or ["no reason is told"])[-1].split())


def _told(message: str) -> str:
    """A message, and what the deployments say of themselves: Serve names them, but not why."""
    with contextlib.suppress(*UNREACHABLE, RuntimeError, KeyError):
        parts = serve.status().applications[APPLICATION].deployments.values()
        return "\n".join([message, *(part.message for part in parts)])
    return message


def _ready(engines: int) -> bool:
    """Whether so many engines and a controller run. Raises CannotStart if they never will."""
    told = serve.status().applications[APPLICATION]
    if told.status in ("DEPLOY_FAILED", "UNHEALTHY"):
        raise CannotStart(_reason(_told(told.message)))
    running: Counter[str] = Counter()
    for name, deployment in told.deployments.items():
        running[name] = deployment.replica_states.get("RUNNING", 0)
    return running["Engine"] >= engines and running["Controller"] >= 1
