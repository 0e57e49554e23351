"""Servers that a benchmark starts, restarts and stops."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click
import httpx
import psutil

from benchmarks.serving.load import Ask
from workers.models import POCKET, POCKET_FOLDER

START_SECONDS, STOP_SECONDS = 300.0, 60.0
ENVIRONMENT: Mapping[str, str] = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
ENGINE_FLAGS = ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", "64"]
"""What our engine sets on CPUs, for vLLM's own programs."""
GATEWAYS = ("ServeReplica:thinkbudget:Gateway", "ServeReplica:thinkbudget:Controller")
"""Titles of the HTTP processes of thinkbudget: of this version and of earlier ones."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def in_background(
    command: list[str], *, said: str, seconds: float = START_SECONDS
) -> Iterator[None]:
    """A command that runs meanwhile and has `said` so before the block begins.

    Its output goes to a file, so that it may say as much as it likes. Raises RuntimeError with its
    last words if it ends, or says something else for so many seconds.
    """
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with tempfile.NamedTemporaryFile() as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_said(process, said, Path(output.name), time.monotonic() + seconds)
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_said(
    process: "subprocess.Popen[bytes]", said: str, output: Path, ends: float
) -> None:
    while True:
        gone = process.poll() is not None
        text = output.read_text(errors="replace")
        if said in text:
            return
        if gone or time.monotonic() > ends:
            why = "ended" if gone else "took too long"
            raise RuntimeError(f"{process.args!r} {why} before it said {said!r}: {text[-2000:]}")
        time.sleep(0.1)


class BenchmarkServer:
    """A server in a process group of its own, on a free port; stopped with the block.

    `command` makes the command line for a port. `client` makes what sends one request to a URL.
    The server is ready when `ready` answers with 200. `checkout` is the folder whose code runs;
    None is this one.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], list[str]],
        client: Callable[[str], Ask],
        *,
        ready: str = "/health",
        checkout: Path | None = None,
    ) -> None:
        self.name, self._command, self._client = name, command, client
        self._ready, self._checkout = ready, checkout
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    def __enter__(self) -> "BenchmarkServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def ask(self) -> Ask:
        return self._client(self._url)

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises click.ClickException, with the end of the server's output, if it ends or is not ready
        in time.
        """
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        environment = os.environ | ENVIRONMENT
        if self._checkout:
            environment["PYTHONPATH"] = os.pathsep.join(
                [str(self._checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
            )
        with tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                self._command(port),
                cwd=self._checkout,
                env=environment,
                start_new_session=True,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                self._wait_until_ready()
            except BaseException as error:
                self.stop()
                if not isinstance(error, TimeoutError | ChildProcessError):
                    raise
                output.seek(0)
                text = output.read().decode(errors="replace")[-2000:]
                raise click.ClickException(f"{self.name}: {error}\n{text}") from None

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            if (status := self._process.poll()) is not None:
                raise ChildProcessError(f"the server ended with status {status} while it started")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self._url}{self._ready}", timeout=5).status_code == 200:
                    return
            time.sleep(0.5)
        raise TimeoutError(f"{self._ready} did not answer within {START_SECONDS:.0f} s")

    def stop(self) -> None:
        """Interrupt it; after a minute kill it, then whatever processes it leaves."""
        if self._process is None:
            return
        process, self._process = self._process, None
        started: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _, alive = psutil.wait_procs(started, timeout=5)
        for child in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def gateway_seconds(self) -> float:
        """CPU seconds of its HTTP processes so far; 0 for a server that has no gateways."""
        if self._process is None:
            return 0.0
        seconds = 0.0
        for child in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                title = " ".join(child.cmdline())
                if any(gateway in title for gateway in GATEWAYS):
                    seconds += sum(child.cpu_times()[:2])
        return seconds


class CpuTimes(NamedTuple):
    """Seconds since some moment: of the clock, of all CPUs at work, and of our own processes."""

    clock: float
    busy: float
    ours: float

    def others_since(self, earlier: "CpuTimes") -> float:
        """CPUs that programs other than this one and its servers used meanwhile, on average."""
        busy, ours = self.busy - earlier.busy, self.ours - earlier.ours
        return max(0.0, busy - ours) / max(1e-3, self.clock - earlier.clock)


def program_cpu() -> CpuTimes:
    """This process and all it started, beside the whole machine."""
    ours, this = 0.0, psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            ours += sum(process.cpu_times()[:2])
    machine = psutil.cpu_times()
    return CpuTimes(time.monotonic(), machine.user + machine.nice + machine.system, ours)


def bare_command(port: int) -> list[str]:
    """vLLM's own OpenAI server, with the settings of our engine."""
    return [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(POCKET_FOLDER),
        "--served-model-name", POCKET, "--port", str(port), "--host", "127.0.0.1",
        *ENGINE_FLAGS, "--kv-cache-memory-bytes", str(1 << 30), "--disable-log-stats",
    ]  # fmt: skip


def ray_command(port: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.serving.ray_llm", str(port)]


def thinkbudget_command(port: int) -> list[str]:
    """With few flags, so that earlier versions understand them too."""
    return [sys.executable, "-m", "thinkbudget", "serve", "--port", str(port), "--model", POCKET]
