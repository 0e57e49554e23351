"""The writer never makes its caller wait, and loses nothing that the spool has room for."""

import asyncio
import json
import logging
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from scheduler.store import writer as writing
from scheduler.store.outcome_store import Written
from scheduler.store.records import without_texts
from scheduler.store.settings import StoreConfig
from scheduler.store.writer import StoreWriter
from tests.scheduler.store.lines import outcome


class MemoryStore:
    """A store that knows what it has; away while it is told to be."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, object]] = {}
        self.is_away = False
        self.loses_replies = False
        self.batches = 0

    async def write(self, lines: list[bytes]) -> Written:
        await asyncio.sleep(0.01)
        if self.is_away:
            raise ConnectionError("it is stopped")
        self.batches += 1
        records = [json.loads(line) for line in lines]
        new = {record["id"]: record for record in records if record["id"] not in self.kept}
        self.kept |= new
        if self.loses_replies:
            raise ConnectionError("the reply was lost")
        return Written(len(new), len(lines) - len(new), 0)

    async def close(self) -> None:
        pass


def config(folder: Path, mib: float = 1.0, *, texts: bool = False) -> StoreConfig:
    return StoreConfig(f"sqlite:///{folder}/s.db", texts, str(folder / "spool"), mib)


def put(writer: StoreWriter, *names: str) -> None:
    for name in names:
        writer.put_outcome(outcome(name), tenant="key", request_id="r")


async def test_a_store_that_is_away_for_a_minute_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    writer = StoreWriter(config(tmp_path, 64), store)
    running = asyncio.create_task(writer.run())
    clock = asyncio.get_running_loop().time
    names: list[str] = []
    began = clock()
    while clock() - began < 90:
        store.is_away = 10 <= clock() - began < 70
        store.loses_replies = clock() - began < 5
        before = clock()
        names.append(f"q{len(names)}")
        put(writer, names[-1])
        assert clock() == before
        await asyncio.sleep(0.05)
    assert await writer.flush(10)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert [*store.kept] == names
    counts = writer.counts
    assert (counts.waiting, counts.dropped, counts.spooled) == (0, 0, len(names))
    assert counts.written + counts.known == len(names)
    assert counts.known > 0
    assert [r.message for r in caplog.records if "away" in r.message][1:] == [
        "the store is away, outcomes are spooled: it is stopped"
    ]
    await writer.close()
    assert [*(tmp_path / "spool").iterdir()] == []


async def test_past_the_cap_outcomes_are_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    store.is_away = True
    writer = StoreWriter(config(tmp_path, 0.01), store)
    put(writer, *map(str, range(20)))
    dropped = writer.counts.dropped
    assert 0 < dropped < 20
    assert len([r for r in caplog.records if "cap" in r.message]) == 1
    store.is_away = False
    assert await writer.flush(10)
    assert [*store.kept] == [str(number) for number in range(20 - dropped)]
    await writer.close()


async def test_a_spool_that_cannot_be_written_leaves_outcomes_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_IN_MEMORY", 5)
    (tmp_path / "spool").write_text("no folder")
    store = MemoryStore()
    writer = StoreWriter(config(tmp_path), store)
    put(writer, *map(str, range(8)))
    assert writer.counts.waiting == 5
    assert writer.counts.dropped == 3
    assert await writer.flush(10)
    assert [*store.kept] == [*map(str, range(5))]
    assert "spool cannot be written" in caplog.text
    put(writer, "late")
    await writer.close()
    assert "1 outcomes are lost" in caplog.text


async def test_what_a_process_before_left_is_sent(tmp_path: Path) -> None:
    before, store = StoreWriter(config(tmp_path), MemoryStore()), MemoryStore()
    put(before, "a", "b")
    await before.close()
    writer = StoreWriter(config(tmp_path), store)
    running = asyncio.create_task(writer.run())
    await asyncio.sleep(1)
    running.cancel()
    assert [*store.kept] == ["a", "b"]
    assert store.kept["a"]["tenant"] == "key"
    await writer.close()


def test_texts_are_left_out_unless_they_are_asked_for(tmp_path: Path) -> None:
    async def kept(texts: bool) -> dict[str, object]:
        store = MemoryStore()
        writer = StoreWriter(config(tmp_path, texts=texts), store)
        put(writer, "a")
        await writer.flush(10)
        await writer.close()
        return store.kept["a"]

    bare, whole = json.dumps(asyncio.run(kept(False))), asyncio.run(kept(True))
    assert "6 * 7" not in bare
    assert '"42"' not in bare
    assert whole["question"] == "What is 6 * 7?"


def test_answers_without_texts_are_still_the_same_votes() -> None:
    bare = without_texts(outcome("a", reference="41", shadow={"answer": "43"}))
    assert (bare["reference"], bare["answer"], bare["shadow"]["answer"]) == ("#1", "#2", "#3")
    assert [sample["answer"] for sample in bare["samples"]] == ["#2", "#1"]
    assert bare["samples"][0]["probes"] == [{"answer": "#1"}]
    assert without_texts(outcome("a", answer=None))["answer"] is None


FULL = """
import asyncio, logging, resource, sys
from pathlib import Path
from scheduler.store.writer import StoreWriter
from tests.scheduler.store.lines import outcome
from tests.scheduler.store.test_writer import MemoryStore, config

async def main():
    logging.basicConfig(stream=sys.stdout)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    store = MemoryStore()
    writer = StoreWriter(config(Path(sys.argv[1])), store)
    for number in range(100):
        writer.put_outcome(outcome(str(number)), tenant="", request_id="")
    assert await writer.flush(30)
    assert sorted(map(int, store.kept)) == list(range(100)), len(store.kept)
    await writer.close()

asyncio.run(main())
"""


def test_a_full_disk_loses_nothing_that_memory_holds(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("spool cannot be written ([Errno 27] File too large)") == 1


@pytest.fixture(autouse=True)
def warnings_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "thinkbudget")
