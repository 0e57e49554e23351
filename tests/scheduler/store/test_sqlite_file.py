"""A SQLite file has one owner, and says clearly what is wrong with its disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.config import ServeConfig
from scheduler.settings import from_table
from scheduler.startup import settings
from scheduler.store import connect
from scheduler.store.connect import parse_url, shown
from scheduler.store.copying import problems
from scheduler.store.opening import require_store
from scheduler.store.outcome_store import OutcomeStore, StoreAway, Written, current
from scheduler.store.owner import StoreOwned
from tests.scheduler.store.lines import lines, outcome


def test_a_second_owner_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    config = settings({"store": {"url": url}}).store
    with OutcomeStore(url):
        for _ in range(2):
            with pytest.raises(StoreOwned, match=f"pid {os.getpid()} on .*has one writer"):
                OutcomeStore(url)
        with pytest.raises(StoreOwned, match=f"pid {os.getpid()}"):
            require_store(config)
    require_store(config, 0.0)
    OutcomeStore(url).close()


def test_an_owner_that_was_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    code = (
        "import os, signal, sys\n"
        "from scheduler.store.outcome_store import OutcomeStore\n"
        "from tests.scheduler.store.lines import lines, outcome\n"
        "store = OutcomeStore(sys.argv[1])\n"
        "store.write(lines(outcome('a')))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    folder = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", code, url], cwd=folder)
    assert ended.returncode == -9
    with OutcomeStore(url, reads=True) as reader:
        assert problems(reader) == []
    with OutcomeStore(url) as store:
        assert store.write(lines(outcome("a"), outcome("b"))) == Written(1, 1, 0)
        assert problems(store) == []


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path: Path) -> None:
    with OutcomeStore(f"sqlite:///{tmp_path}/s.db") as store:
        with store.transaction() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=60")
        batch = lines(*(outcome(str(number)) for number in range(200)))
        with pytest.raises(StoreAway, match=r"s\.db: database or disk is full"):
            store.write(batch)
        assert problems(store) == []
        with store.transaction() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=100000")
        assert store.write(batch) == Written(200, 0, 0)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with OutcomeStore(f"sqlite:///{tmp_path}/s.db") as store:
        with store.transaction() as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")
        with pytest.raises(StoreAway, match="attempt to write a readonly database"):
            store.write(lines(outcome("a")))


@pytest.mark.parametrize("content", [b"no database, but a text of some length" * 100])
def test_another_file_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(StoreAway, match="not a database"):
        OutcomeStore(str(path))
    assert path.read_bytes() == content


def test_a_network_filesystem_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect.filesystem_of(Path("/proc/self/new.db")) == "proc"
    monkeypatch.setattr(connect, "filesystem_of", lambda path: "nfs4")
    with pytest.raises(ValueError, match=r"network filesystem \(nfs4\).*PostgreSQL"):
        settings({"store": {"url": f"sqlite:///{tmp_path}/s.db"}})


def test_a_reader_needs_a_store(tmp_path: Path) -> None:
    for read in (lambda url: OutcomeStore(url, reads=True), current):
        with pytest.raises(ValueError, match="there is no store"):
            read(f"{tmp_path}/none.db")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://u:secret@h/n", "must begin with sqlite:// or postgresql://, got 'mysql'"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("postgresql://u:secret@h:port/n", "postgresql://... cannot be read"),
    ],
)
def test_urls_are_checked_and_keep_their_password(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as error:
        settings({"store": {"url": url}})
    assert "secret" not in str(error.value)


def test_a_password_is_not_shown() -> None:
    assert shown(parse_url("postgresql://u:secret@h/n")) == "postgresql://u:***@h/n"


@pytest.mark.parametrize("key", ["spool_mib", "days", "rollup_days", "snapshot_seconds"])
def test_bounds_are_checked(key: str) -> None:
    with pytest.raises(ValueError, match=f"store.{key} must be"):
        from_table(ServeConfig, {"store": {key: 0}})


def test_places_do_not_depend_on_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = settings({"store": {"url": "sqlite:///s.db"}}).store
    assert store.url == f"sqlite:///{tmp_path}/s.db"
    assert store.spool == f"{tmp_path}/s.db.spool"
    assert settings({"store": {"url": "postgresql://h/n"}}).store.spool == (
        f"{tmp_path}/thinkbudget.spool"
    )
