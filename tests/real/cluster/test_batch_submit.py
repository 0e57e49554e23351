"""`batch submit`, `status`, `logs` and `cancel` by the Jobs API of a Ray cluster of its own."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.serving.servers import free_port
from tests.scheduler.batch.jobs import ids, line, write
from thinkbudget import main

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

ROOT = Path(__file__).parents[3]
ENGINE = ("--engine", "simulated", "--model", "simulated", "--policy", "fixed")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The dashboard of a head whose jobs find this project and its Python."""
    import ray
    from ray.cluster_utils import Cluster

    was = {name: os.environ.get(name) for name in ("PATH", "PYTHONPATH")}
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{was['PATH'] or ''}"
    os.environ["PYTHONPATH"] = str(ROOT)
    port = free_port()
    # Ray's default port of the agent that takes jobs may belong to another test's head.
    ports = {"dashboard_port": port, "dashboard_agent_listen_port": free_port()}
    head = {"num_cpus": 2, "object_store_memory": 100 << 20, **ports}
    cluster = Cluster(initialize_head=True, head_node_args={**head, "include_dashboard": True})
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        ray.shutdown()
        cluster.shutdown()
        for name, value in was.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def batch(command: str, *arguments: object, address: str) -> Result:
    words = [command, *map(str, arguments), "--address", address]
    return CliRunner().invoke(main, ["batch", *words])


def status(job: str, address: str) -> dict[str, object]:
    told: dict[str, object] = json.loads(batch("status", job, "--json", address=address).output)
    return told


def test_a_job_is_submitted_followed_and_asked_about(tmp_path: Path, address: str) -> None:
    source = write(tmp_path, *(line(str(number)) for number in range(20)), "no row")
    out = tmp_path / "out.jsonl"
    told = batch("submit", source, "-o", out, "--name", "one", *ENGINE, address=address)
    assert told.exit_code == 3, told.output  # the job's own: a row failed
    assert "20 answered" in told.output
    assert sorted(map(int, ids(tmp_path))) == list(range(20))
    assert status("one", address) == {"job": "one", "status": "FAILED", "exit_code": 3}
    assert "20 answered" in batch("logs", "one", address=address).output
    assert "had ended" in batch("cancel", "one", address=address).output
    again = batch("submit", source, "-o", out, "--name", "one", *ENGINE, address=address)
    assert again.exit_code == 2 and "one" in again.output  # a name counts once


def test_a_job_that_is_cancelled_is_gone_on_with(tmp_path: Path, address: str) -> None:
    count = 2000
    source = write(tmp_path, *(line(str(number)) for number in range(count)))
    out = tmp_path / "out.jsonl"
    asked = (source, "-o", out, "--concurrency", 2, *ENGINE)
    told = batch("submit", *asked, "--name", "long", "--detach", address=address)
    assert told.exit_code == 0 and "long is submitted" in told.output
    partial = tmp_path / "out.jsonl.partial"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.1)
    assert "is being stopped" in batch("cancel", "long", address=address).output
    followed = batch("logs", "long", "--follow", address=address)
    assert followed.exit_code != 0 and "long: STOPPED" in followed.output
    kept = len(partial.read_text().splitlines())
    assert 0 < kept < count
    assert "the same command goes on" in batch("logs", "long", address=address).output
    told = batch("submit", *asked, "--name", "long again", address=address)
    assert told.exit_code == 0, told.output
    assert sorted(map(int, ids(tmp_path))) == list(range(count))


def test_who_does_not_know_a_job_or_a_cluster_is_told_so(address: str) -> None:
    told = batch("status", "nothing", address=address)
    assert told.exit_code == 2 and "nothing" in told.output
    told = batch("status", "nothing", address=f"http://127.0.0.1:{free_port()}")
    assert told.exit_code == 5 and "cannot be reached" in told.output
