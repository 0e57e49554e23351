"""A real endpoint for tests: `thinkbudget serve` with the embedded model."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

START_SECONDS = 240.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Endpoint:
    """A `thinkbudget serve` in a process group of its own."""

    def __init__(self, *flags: str, env: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "thinkbudget", "serve", "--port", str(self.port)]
        # A file: a pipe that nobody reads fills up, and then whoever writes to it waits for ever.
        self.log = Path(tempfile.mkdtemp()) / "serve.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, *flags],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=env,
            )

    def wait(self) -> None:
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            if self.process.poll() is not None:
                raise AssertionError(f"serve ended: {self.said()}")
            try:
                is_up = httpx.get(f"{self.url}/health", timeout=5).status_code == 200
                if is_up and "serving " in self.said():
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        raise AssertionError(f"not serving after {START_SECONDS} s: {self.said()}")

    def said(self) -> str:
        return self.log.read_text()

    def members(self) -> list[int]:
        """Processes that this endpoint started and that are still there."""
        import psutil

        return [p.pid for p in psutil.Process(self.process.pid).children(recursive=True)]

    def interrupt(self) -> int:
        os.kill(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=90)
