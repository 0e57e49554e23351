"""The log of outcomes is set aside by size, whoever writes it, and loses no line."""

import threading
from pathlib import Path

import pytest

from scheduler.config import ServeConfig
from scheduler.settings import from_table
from scheduler.solving.outcome_log import MIB, OutcomeLog

LINE = "x" * 99 + "\n"


def lines(folder: Path) -> dict[str, int]:
    found = [path for path in folder.iterdir() if path.suffix != ".lock"]
    assert all(set(path.read_text().splitlines()) <= {LINE.strip()} for path in found)
    return {path.name: len(path.read_text().splitlines()) for path in sorted(found)}


def test_the_newest_lines_are_kept_up_to_a_number_of_files(tmp_path: Path) -> None:
    log = OutcomeLog(tmp_path / "log", mib=1000 / MIB, files=2)
    for _ in range(45):
        log.write(LINE)
    log.close()
    assert lines(tmp_path) == {"log": 5, "log.1": 10, "log.2": 10}


@pytest.mark.parametrize(("mib", "files", "kept"), [(None, 10, 45), (1000 / MIB, 0, 5)])
def test_without_a_bound_or_without_older_files(
    tmp_path: Path, mib: float | None, files: int, kept: int
) -> None:
    log = OutcomeLog(tmp_path / "log", mib=mib, files=files)
    for _ in range(45):
        log.write(LINE)
    log.close()
    assert lines(tmp_path) == {"log": kept}


def test_a_file_of_an_earlier_server_is_continued(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LINE * 8)
    log = OutcomeLog(tmp_path / "log", mib=1000 / MIB)
    for _ in range(3):
        log.write(LINE)
    log.close()
    assert lines(tmp_path) == {"log": 1, "log.1": 10}


def test_a_line_longer_than_a_file_is_written_whole(tmp_path: Path) -> None:
    log = OutcomeLog(tmp_path / "log", mib=10 / MIB)
    log.write(LINE)
    log.write(LINE)
    log.close()
    assert lines(tmp_path) == {"log": 1, "log.1": 1}


def test_several_writers_lose_and_tear_no_line(tmp_path: Path) -> None:
    def write() -> None:
        log = OutcomeLog(tmp_path / "log", mib=1000 / MIB, files=100)
        for _ in range(200):
            log.write(LINE)
        log.close()

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sum(lines(tmp_path).values()) == 800


def test_a_log_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    log = OutcomeLog(tmp_path / "log", mib=1)
    log.write(LINE)
    (tmp_path / "log").rename(tmp_path / "log.moved")
    log.write(LINE)
    log.close()
    assert lines(tmp_path) == {"log": 1, "log.moved": 1}


@pytest.mark.parametrize("settings", [{"outcomes_mib": 0}, {"outcomes_files": -1}])
def test_bounds_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="outcomes_"):
        from_table(ServeConfig, settings)
