"""The store's benchmark counts what it measures, and its lines are outcomes."""

from pathlib import Path

from benchmarks.store import Rate, batches, into_spool, into_store, make_line
from scheduler.store.outcome_store import OutcomeStore
from scheduler.store.queries import find


def test_a_rate_is_of_the_wall_and_of_all_processors() -> None:
    rate = Rate("x", 1000, wall=0.5, cpu=0.1, server_cpu=0.1)
    assert rate.a_second == 2000
    assert "5000 a CPU-second (100 µs here, 100 µs in the database)" in rate.row()


def test_lines_are_outcomes_that_the_store_takes(tmp_path: Path) -> None:
    assert [len(part) for part in batches(1500)] == [1000, 500]
    assert 1500 < len(make_line(0)) < 3000
    assert into_spool(tmp_path / "spool", 300).lines == 300
    assert into_store("sqlite", f"{tmp_path}/s.db", 300).a_second > 0
    with OutcomeStore(f"{tmp_path}/s.db") as store, store.transaction() as connection:
        assert sum(1 for _ in find(connection)) == 301
