"""kill -9, full disks and files that go away: nothing is lost, nothing comes twice."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.scheduler.batch.jobs import answered, ids, job, line, mixed, ran, write

ROOT = Path(__file__).parents[3]
COUNT = 300


def start(source: Path, tokens: int = 0, limit: int | None = None) -> "subprocess.Popen[str]":
    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "tests.scheduler.batch.killed", str(source), str(tokens)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limited,
    )


def lines_in(folder: Path) -> int:
    parts = [*folder.glob("out.jsonl.partial"), *folder.glob("out.jsonl.pass-*")]
    return max((path.read_bytes().count(b"\n") for path in parts), default=0)


def killed_at(source: Path, share: float, tokens: int = 0) -> None:
    """Kill a run once so many of the rows are kept; one that ended before is fine as well."""
    process = start(source, tokens)
    while process.poll() is None and lines_in(source.parent) < share * COUNT:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [0, COUNT * 220])
def test_a_driver_killed_again_and_again_loses_nothing(tokens: int, tmp_path: Path) -> None:
    source = write(tmp_path, *mixed(COUNT))
    for share in (0.1, 0.5, 0.9):
        killed_at(source, share, tokens)
    last = start(source, tokens)
    _, said = last.communicate(timeout=300)
    assert last.returncode == 0, said
    assert sorted(map(int, ids(tmp_path))) == list(range(COUNT))
    if tokens:
        used = [one["response"]["body"]["usage"]["completion_tokens"] for one in answered(tmp_path)]
        assert sum(used) <= tokens


def test_a_full_disk_ends_the_job_and_it_goes_on(tmp_path: Path) -> None:
    source = write(tmp_path, *(line(str(n)) for n in range(60)))
    process = start(source, limit=40_000)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 6, said
    assert "File too large" in said
    kept = (tmp_path / "out.jsonl.partial").read_bytes()
    assert kept.endswith(b"\n") and 0 < kept.count(b"\n") < 60
    summary = ran(source, concurrency=64).summary
    assert summary.skipped == kept.count(b"\n")
    assert sorted(map(int, ids(tmp_path))) == list(range(60))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, line("a"))
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(ValueError, match="cannot be written"):
        ran(source, out="closed/out.jsonl")


def test_an_output_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, line("a"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="cannot be written"):
        ran(source, out="file/out.jsonl")


def test_an_input_that_vanished_is_named(tmp_path: Path) -> None:
    source = write(tmp_path, line("a"))
    one = job(source)
    source.unlink()
    with pytest.raises(ValueError, match=r"in\.jsonl cannot be read"):
        one.begin()


def test_a_manifest_that_is_none_is_named(tmp_path: Path) -> None:
    source = write(tmp_path, line("a"))
    (tmp_path / "out.manifest.json").write_text("[" + json.dumps("x"))
    with pytest.raises(ValueError, match="is no manifest"):
        ran(source)
