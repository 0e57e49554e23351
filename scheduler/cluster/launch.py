"""Starts, drains and ends the endpoint of `thinkbudget serve`. Imports ray."""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import psutil
import ray
from ray import serve
from ray._private.ray_logging import global_worker_stdstream_dispatcher
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from scheduler import logs
from scheduler.cluster.application import application
from scheduler.cluster.model_engines import application_of, engines_of, targets
from scheduler.cluster.starting import POLL_SECONDS, CannotStart, fitting, run
from scheduler.cluster.status_text import messages, reason
from scheduler.cluster.unreachable import UNREACHABLE
from scheduler.config import ONLY, ServeConfig
from scheduler.startup import SettingsSource
from workers.engine import EngineInfo

T = TypeVar("T")

KEEP_ALIVE_SECONDS = 90
CONTROLLER = {
    # A replica that hangs would keep its GPUs for as long as others get to finish.
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
    # A proxy that is not there after 5 s, as on a busy machine, is killed and begun anew, and who
    # waits for it gets an error.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "55",
}
LEAVE_SECONDS = 15.0
REFUSING_SECONDS = 1.0
"""A request that comes as the server ends is told so, for so long; then nobody listens."""
LOCAL_CPUS = 64
"""What a Ray of our own counts at least: on one machine there is nowhere else for an engine to go,
so one that a reload adds is not to wait for a core that Ray counts as taken."""


def start(
    config: ServeConfig,
    *,
    source: SettingsSource | None = None,
    replace: bool = False,
    verbose: bool = False,
    json_logs: bool = False,
    warn: Callable[[str], None] = print,
) -> str:
    """Start Ray (or join the cluster that RAY_ADDRESS names) and serve; returns once ready.

    Returns the endpoint's address. Where some engines fit and others do not, it serves with those,
    and warns. Raises ValueError when the port is taken, when the cluster runs an application of
    this name already (unless `replace`), when its proxy can be reached from a network and no keys
    are asked for, or when not one engine fits; CannotStart when an engine fails.
    """
    joins = "RAY_ADDRESS" in os.environ
    if not joins:
        require_port(config.host, config.port)
    _join(verbose, json_logs)
    host, port = _bound_address(config)
    config.access.require(host)
    replaces = joins and config.application in serve.status().applications
    if replaces and not replace:
        raise ValueError(
            f"application {config.application!r} runs on this cluster already: "
            "replace it with --replace, or name another one with --application"
        )
    models = config.by_model
    # The engines that are replaced leave their GPUs to those that come.
    fit = {} if replaces else fitting(models, warn)
    all_fit = all(fit.get(name, each.replicas) >= each.replicas for name, each in models.items())
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
        target = serve.RunTarget(
            application(config, source),
            name=config.application,
            route_prefix="/",
            # Every call between processes would be a line, four a second without any request.
            logging_config={"enable_access_log": False},
        )
        # The gateways look for the engines of several models when they start.
        parts = [*targets(config, tuple(config.models)), target]
        run(parts, None if all_fit else _awaited(config, fit))
    except (*UNREACHABLE, RuntimeError) as error:
        raise CannotStart(reason(messages(config.application, str(error)))) from error
    except KeyboardInterrupt:
        stop(config.application)
        raise
    return f"http://{host}:{port}"


def recommended_sampling(application: str, model: str | None = None) -> str:
    """What the makers of the served model recommend and is in force; "" where nobody can say.

    `model` is one of several.
    """
    if model is None:
        engines = serve.get_deployment_handle("EngineReplica", application)
    else:
        engines = engines_of(application, model)
    engines = _from_outside(engines)
    try:
        info: EngineInfo = engines.info.remote().result(timeout_s=LEAVE_SECONDS)
    except (*UNREACHABLE, TimeoutError):
        return ""
    return info.sampling


def reload(application: str) -> dict[str, Any]:
    """Have the gateways read the settings again: what was done, or `error` with the reason."""
    gateways = _from_outside(serve.get_deployment_handle("Gateway", application))
    try:
        done: dict[str, Any] = gateways.reload.remote().result()
    except UNREACHABLE as error:
        return {"error": f"no gateway has replied: {type(error).__name__}"}
    return done


def _from_outside(handle: DeploymentHandle[T]) -> DeploymentHandle[T]:
    """For calls where no event loop runs, whatever the environment says of replicas."""
    if not handle.is_initialized:
        handle._init(_run_router_in_separate_loop=True)
    return handle


def _bound_address(config: ServeConfig) -> tuple[str, int]:
    """Where Serve's proxy listens, or will: one that runs already keeps its own address."""
    client = serve.context._get_global_client(raise_if_no_controller_running=False)
    if client is None:
        return config.host, config.port
    return client.http_config.host or config.host, client.http_config.port


def drain(application: str, seconds: float) -> int:
    """Refuse what is new and let finish what runs, for so long; how many requests still run."""
    gateways = _from_outside(serve.get_deployment_handle("Gateway", application))
    ends, refusing = time.monotonic() + seconds, None
    while True:
        try:
            running: int = sum(gateways.broadcast("drain").results(timeout_s=LEAVE_SECONDS))
        except (*UNREACHABLE, TimeoutError):
            running = 1  # a gateway is being replaced, and nobody can say
        now = time.monotonic()
        refusing = refusing or now
        if now >= ends or (not running and now - refusing >= REFUSING_SECONDS):
            return running
        time.sleep(POLL_SECONDS)


def stop(application: str | None) -> None:
    """End the application (None: none was started), and a Ray that `start` started.

    No process is left behind.
    """
    if not ray.is_initialized():
        return
    ours = psutil.Process().children(recursive=True)
    if application is not None:
        with contextlib.suppress(RayServeException):
            ends = time.monotonic() + LEAVE_SECONDS
            while (ending := _parts_of(application)) and time.monotonic() < ends:
                for name in ending:
                    serve.delete(name, _blocking=False)
                time.sleep(POLL_SECONDS)
    ray.shutdown()
    _, left = psutil.wait_procs(ours, timeout=1)
    _kill(left)


def _parts_of(application: str) -> list[str]:
    """The application, and those of the engines of its models."""
    names = serve.status().applications
    return [name for name in names if name == application or name.startswith(f"{application}.")]


def require_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = f"port {port} on {host} cannot be used ({error.strerror}); choose another"
            raise ValueError(f"{message} with --port") from None


def _join(verbose: bool, json_logs: bool) -> None:
    if ray.is_initialized():
        return
    level = logging.INFO if verbose else logging.ERROR
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # Replicas never block their loop, so threads of its own for it, and for routing, only cost.
    os.environ.setdefault("RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD", "0")
    os.environ.setdefault("RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP", "0")
    if "RAY_ADDRESS" in os.environ:
        ray.init(logging_level=level)
    else:
        # Ray would run engines at the lowest priority, behind anything else on a laptop.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # It would start one idle worker for each of these CPUs.
        os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
        with _whole_or_none():
            # Without "local", Ray would join any cluster that was started on this machine.
            ray.init(
                address="local",
                num_cpus=max(LOCAL_CPUS, os.cpu_count() or 1),
                include_dashboard=False,
                object_store_memory=200 << 20,
                logging_level=level,
                configure_logging=True,
            )
    if threading.current_thread() is threading.main_thread():
        # Ray's own handler would end this at once, and leave its processes.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("ray.serve").setLevel(level)
    _show_logs(verbose, json_logs)


@contextlib.contextmanager
def _whole_or_none() -> Iterator[None]:
    """A Ray that is told to end while it starts leaves some of its processes behind: end them."""
    before = set(psutil.Process().children())
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        for child in set(psutil.Process().children()) - before:
            _kill([*child.children(recursive=True), child])
        raise KeyboardInterrupt from None


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _show_logs(verbose: bool, json_logs: bool) -> None:
    """Show what the processes log; with `verbose` all else that they write, too."""

    def show(batch: dict[str, Any]) -> None:
        for line in batch["lines"]:
            if text := logs.shown(line, as_json=json_logs, everything=verbose):
                logs.write(text)

    # Ray's own handler would put the name of a process before every line.
    global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")
    global_worker_stdstream_dispatcher.add_handler("ray_print_logs", show)


def _awaited(config: ServeConfig, fit: dict[str, int]) -> dict[str, dict[str, int]]:
    """How many replicas of which deployments are to run, by application."""
    if not config.models:
        return {config.application: {"EngineReplica": fit[ONLY], "Gateway": 1}}
    engines = {
        application_of(config.application, name): {"EngineReplica": number}
        for name, number in fit.items()
    }
    return engines | {config.application: {"Gateway": 1}}
