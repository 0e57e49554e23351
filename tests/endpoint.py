"""A real endpoint for tests: `thinkbudget serve` with the embedded model."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx

START_SECONDS = 240.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Endpoint:
    """A `thinkbudget serve` in a process group of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "thinkbudget", "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def wait(self) -> None:
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            if self.process.poll() is not None:
                assert self.process.stdout is not None
                raise AssertionError(f"serve ended: {self.process.stdout.read()}")
            try:
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        raise AssertionError(f"not serving after {START_SECONDS} s")

    def members(self) -> list[int]:
        """Processes that this endpoint started and that are still there."""
        import psutil

        return [p.pid for p in psutil.Process(self.process.pid).children(recursive=True)]

    def interrupt(self) -> int:
        os.kill(self.process.pid, signal.SIGINT)
        self.process.communicate(timeout=90)
        return self.process.returncode
