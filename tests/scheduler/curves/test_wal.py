"""A curve store outlives its process: at most a second is lost, and nothing counts twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.curves import wal as journal
from scheduler.curves.exchange import Report
from scheduler.curves.records import ObservationRecord
from scheduler.curves.store import CurveStore
from scheduler.curves.wal import DurableCurveStore, holder, load, save
from scheduler.startup import require_curves, settings
from tests.scheduler.curves.files import copied
from tests.scheduler.observations import chain, votes

ROOT = Path(__file__).parents[3]
WRITER = """
import sys
from pathlib import Path
from scheduler.curves.exchange import Report
from scheduler.curves.wal import DurableCurveStore
from tests.scheduler.observations import chain
kept = DurableCurveStore(Path(sys.argv[1]))
for number in range(1, 100_000):
    kept.exchange(Report("w", number, [chain(), chain(query_class="words")]), "", 0)
    print(number, flush=True)
"""


def reported(kept: DurableCurveStore, *numbers: int, seen: ObservationRecord | None = None) -> None:
    for number in numbers:
        kept.exchange(Report("w", number, [seen or chain()]), "", 0)


def counted(store: CurveStore) -> float:
    return sum(entry.statistics.queries for entry in store.entries.values())


@pytest.mark.slow
def test_every_confirmed_report_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert writer.stdout is not None
    confirmed = 0
    for line in writer.stdout:
        confirmed = int(line)
        if confirmed == 60:
            os.kill(writer.pid, signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    writer.stdout.close()
    kept = DurableCurveStore(path)
    # One more may have been taken when the process died before it could say so.
    assert counted(kept.store) in (2 * confirmed, 2 * confirmed + 2)
    before = counted(kept.store)
    reported(kept, confirmed)
    assert counted(kept.store) == before
    kept.close()


def test_a_store_that_was_closed_is_whole_in_its_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "curves.json"
    kept = DurableCurveStore(path)
    reported(kept, 1, 2, 3)
    kept.close()
    kept.close()
    assert counted(load(path)) == 3
    assert (path.parent / "curves.json.log").read_bytes() == b""
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "curves.json",
        "curves.json.log",
    ]


def test_what_is_in_the_snapshot_and_in_the_log_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    kept = DurableCurveStore(path)
    reported(kept, 1, 2, seen=votes())
    save(kept.store, path)  # as if the process had died before the log began anew
    assert (path.parent / "curves.json.log").read_bytes().count(b"\n") == 2
    path = copied(path)
    kept.close()
    with DurableCurveStore(path) as again:
        assert counted(again.store) == 2


def test_a_line_that_was_torn_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "curves.json"
    kept = DurableCurveStore(path)
    reported(kept, 1, 2)
    path = copied(path)
    kept.close()
    with (path.parent / "curves.json.log").open("ab") as file:
        file.write(b'{"writer": "w", "number": 3, "records": [{"mod')
    with caplog.at_level("WARNING"), DurableCurveStore(path) as again:
        assert counted(again.store) == 2
    assert "torn" in caplog.text


def test_the_log_begins_anew_with_every_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SNAPSHOT_RECORDS", 4)
    path = tmp_path / "curves.json"
    kept = DurableCurveStore(path)
    reported(kept, *range(1, 11))
    assert (path.parent / "curves.json.log").read_bytes().count(b"\n") in (1, 2)
    assert counted(load(path)) >= 8
    kept.close()


def test_a_full_disk_keeps_the_log_and_lets_go_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "curves.json"
    store = DurableCurveStore(path)
    store.observe(chain(query_class="c"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "save", full)
        with pytest.raises(OSError, match="No space left"):
            store.close()
        with pytest.raises(OSError, match="No space left"):
            DurableCurveStore(path)
    with DurableCurveStore(path) as again:
        assert again.sizes("m") == {"c": 1.0}


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    kept = DurableCurveStore(path)
    with pytest.raises(ValueError, match=r"curves\.json\.log is being written by another process"):
        DurableCurveStore(path)
    kept.close()
    DurableCurveStore(path).close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 2}'])
def test_a_file_that_is_no_curve_store_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "curves.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"curves\.json: not a curve store"):
        DurableCurveStore(path)


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = DurableCurveStore()
    reported(kept, 1, 1, 2)
    kept.close()
    assert counted(kept.store) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_log_line_is_json(tmp_path: Path) -> None:
    kept = DurableCurveStore(tmp_path / "curves.json")
    reported(kept, 1, seen=votes())
    (line,) = (tmp_path / "curves.json.log").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["records"][0]["observation"]["right"] == {"7": True, "8": False}
    kept.close()


def test_a_second_process_is_told_who_writes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    message = rf"by another process \(pid {os.getpid()}\)"
    with DurableCurveStore(path), pytest.raises(ValueError, match=message):
        DurableCurveStore(path)
    DurableCurveStore(path).close()


def test_a_wait_for_the_file_is_logged_before_it_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "curves.json"
    with DurableCurveStore(path), pytest.raises(ValueError, match="by another process"):
        DurableCurveStore(path, wait_seconds=0.01)
    (line,) = caplog.messages
    assert f"curves.json.log is being written by another process (pid {os.getpid()})" in line
    assert "waiting" in line


def test_who_holds_the_files_is_told_and_asking_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    assert holder(path) is None
    assert list(tmp_path.iterdir()) == []
    with DurableCurveStore(path):
        assert holder(path) == f"pid {os.getpid()}"
        (tmp_path / "curves.json.log.pid").unlink()
        assert holder(path) == "pid unknown"
    assert holder(path) is None
    DurableCurveStore(path).close()


async def test_own_observations_are_in_the_log_before_any_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    with DurableCurveStore(path) as kept:
        kept.observe(chain())
        kept.observe(chain()._replace(price=2.0))
        path = copied(path)
    with DurableCurveStore(path) as again:
        assert counted(again.store) == 1


def test_a_store_without_a_path_is_the_same_for_the_same_observations() -> None:
    stores = [DurableCurveStore(), DurableCurveStore()]
    for kept in stores:
        kept.observe(chain())
        kept.observe(chain()._replace(price=2.0))
        assert counted(kept.store) == 1
    one, two = (kept.store.as_dict() for kept in stores)
    assert one == two


def test_a_server_refuses_a_file_that_another_process_writes(tmp_path: Path) -> None:
    config = settings({"engine": {"kind": "simulated"}, "curves": str(tmp_path / "curves.json")})
    require_curves(config, 0.0)
    told = rf"curves\.json.*pid {os.getpid()}.*name another file"
    with DurableCurveStore(tmp_path / "curves.json"), pytest.raises(ValueError, match=told):
        require_curves(config, 0.0)
    require_curves(config, 0.0)
