"""Where files may be, and object stores that nothing can be appended in."""

import json
import os
from pathlib import Path

import fsspec
import pytest

from scheduler.batch.durability.ids import IdSet
from scheduler.batch.durability.log import PartsLog, open_log
from scheduler.batch.run import Job, JobSettings
from scheduler.batch.storage import locate
from tests.scheduler.batch.jobs import FIXED, job, line, write
from workers.simulated.clock import run_virtual


@pytest.mark.parametrize(
    "uri",
    ["http://example.org/in.jsonl", "ftp://x/y", "zip://a::file://b", "s3://b/../c", "", "a\0b"],
)
def test_other_places_are_refused(uri: str) -> None:
    with pytest.raises(ValueError):
        locate(uri)


def test_roots_hold_against_links_and_dots(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("x")
    os.symlink(outside, root / "link")
    assert locate(str(root / "in.jsonl"), [str(root)]).name == "in.jsonl"
    for path in (root / ".." / "outside" / "secret", root / "link" / "secret", tmp_path / "root2"):
        with pytest.raises(ValueError, match="outside of"):
            locate(str(path), [str(root)])
    with pytest.raises(ValueError, match="outside of"):
        locate("memory://bucket/x", [str(root)])
    with pytest.raises(ValueError, match="outside of"):
        locate("memory://bucket2/x", ["memory://bucket"])
    assert locate("memory://bucket/x", ["memory://bucket"]).path.endswith("bucket/x")


def test_a_job_in_an_object_store_is_resumed_and_published() -> None:
    store = fsspec.filesystem("memory")
    text = "".join(line(str(n)) + "\n" for n in range(9))
    store.pipe_file("/jobs/in.jsonl", text.encode())

    def begun() -> Job:
        at = locate("memory://jobs/in.jsonl"), locate("memory://jobs/out.jsonl")
        one = Job(JobSettings(*at, FIXED, concurrency=1), job(Path("unused"))._bar)
        one.begin()
        return one

    async def stopped(one: Job) -> None:
        import asyncio

        running = asyncio.create_task(one.run())
        await asyncio.sleep(0.1)
        one.stop()
        await running

    run_virtual(stopped(begun()))
    assert not store.exists("/jobs/out.jsonl")
    report = run_virtual(begun().run())
    assert 0 < report.summary.answered < 9
    lines = store.cat_file("/jobs/out.jsonl").decode().splitlines()
    assert sorted(json.loads(each)["custom_id"] for each in lines) == sorted(map(str, range(9)))
    names = {each.rsplit("/", 1)[-1] for each in store.ls("/jobs", detail=False)}
    assert names == {
        "in.jsonl", "out.jsonl", "out.errors.jsonl", "out.manifest.json", "out.jsonl._SUCCESS",
    }  # fmt: skip


def test_parts_are_read_in_order() -> None:
    log = open_log(locate("memory://parts/log"))
    assert isinstance(log, PartsLog)
    for number in range(30):
        log.append(str(number))
        if number % 4 == 0:
            log.close()
    log.close()
    again = open_log(locate("memory://parts/log"))
    again.append("30")
    again.close()
    assert [int(each) for each in again.lines()] == list(range(31))


def test_ids_are_a_set_in_few_bytes() -> None:
    ids = IdSet(f"row-{n}" for n in range(20_000))
    assert len(ids) == 20_000
    assert all(f"row-{n}" in ids for n in range(20_000))
    assert not any(f"other-{n}" in ids for n in range(20_000))
    assert ids.add("\ud800") and not ids.add("\ud800")
    assert ids._table.itemsize * len(ids._table) <= 32 * 20_000


def test_a_file_is_its_own_log_after_a_resume(tmp_path: Path) -> None:
    at = tmp_path / "log"
    at.write_bytes(b"whole\n" + b"torn" * 50_000)
    log = open_log(locate(str(at)))
    log.append("more")
    log.close()
    assert at.read_bytes() == b"whole\nmore\n"
    assert write(tmp_path, "x").exists()
