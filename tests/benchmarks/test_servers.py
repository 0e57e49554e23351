"""A benchmark's servers are started, restarted on a port of their own, and stopped."""

import sys
import time
from pathlib import Path

import click
import httpx
import psutil
import pytest

from benchmarks.serving.load import completions_client
from benchmarks.serving.servers import BenchmarkServer, in_background

SERVE = (
    "import http.server as s, sys; "
    "s.test(s.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')"
)


def running(marker: str) -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if marker in " ".join(child.cmdline())]


@pytest.mark.slow
def test_a_server_answers_within_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    def command(port: int) -> list[str]:
        return [sys.executable, "-c", f"{SERVE}  # {tmp_path}", str(port)]

    (tmp_path / "health").write_text("from the other checkout")
    made = BenchmarkServer("files", command, completions_client, checkout=tmp_path)
    with made as server:
        (first,) = running(str(tmp_path))
        port = first.cmdline()[-1]
        assert httpx.get(f"http://127.0.0.1:{port}/health").text == "from the other checkout"
        server.restart()
        (second,) = running(str(tmp_path))
        assert second.pid != first.pid
    assert not running(str(tmp_path))


def test_a_server_that_ends_at_once_is_an_error_with_what_it_printed() -> None:
    def command(port: int) -> list[str]:
        return [sys.executable, "-c", "import sys; sys.exit('no such model')"]

    with pytest.raises(click.ClickException, match=r"broken: .*status 1[\s\S]*no such model"):
        BenchmarkServer("broken", command, completions_client).start()


CHATTY = """
import pathlib, sys, time
print('ready', flush=True)
for _ in range(5000): print('x' * 99)
sys.stdout.flush()
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


@pytest.mark.slow
def test_a_command_in_the_background_may_say_more_than_a_pipe_holds(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with in_background([sys.executable, "-c", CHATTY, str(done)], said="ready"):
        ends = time.monotonic() + 20
        while not done.exists() and time.monotonic() < ends:
            time.sleep(0.05)
    assert done.exists()
    assert not running(str(done))


def test_a_command_that_ends_before_it_is_ready_is_an_error_with_what_it_said() -> None:
    command = [sys.executable, "-c", "print('no room')"]
    early = pytest.raises(RuntimeError, match=r"ended before it said 'ready': no room")
    with early, in_background(command, said="ready"):
        raise AssertionError("the block must not run")
