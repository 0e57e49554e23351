"""A job leaves its row in the store: how it ended, what it took, and one row for all its runs."""

import json
import re
from pathlib import Path

from click.testing import CliRunner, Result

from scheduler.store.outcome_store import OutcomeStore
from scheduler.store.queries import jobs, outcomes_of
from scheduler.store.records import StoreRecord
from tests.scheduler.batch.jobs import line, write
from thinkbudget import main

ENGINE = ("--engine", "simulated", "--model", "simulated", "--policy", "fixed")


def ran(folder: Path, *flags: str) -> Result:
    source, out, store = folder / "in.jsonl", folder / "out.jsonl", folder / "s.db"
    arguments = ["batch", "run", str(source), "-o", str(out), "--store", str(store)]
    return CliRunner().invoke(main, [*arguments, *ENGINE, *flags])


def rows(folder: Path) -> list[StoreRecord]:
    with OutcomeStore(str(folder / "s.db"), reads=True) as store, store.transaction() as connection:
        return jobs(connection)


def test_a_job_leaves_its_row_and_its_outcomes(tmp_path: Path) -> None:
    write(tmp_path, *(line(str(number)) for number in range(5)), "no row")
    assert ran(tmp_path).exit_code == 3
    (row,) = rows(tmp_path)
    assert (row["state"], row["total"], row["completed"], row["failed"]) == ("completed", 6, 5, 1)
    assert row["tokens"] > 0 and row["output"].endswith("out.jsonl")
    outcomes = list(outcomes_of(str(tmp_path / "s.db")))
    assert len(outcomes) == 5
    assert sum(one["tokens"]["total"] for one in outcomes) == row["tokens"]
    told = CliRunner().invoke(main, ["report", "--since", "1h", "--store", str(tmp_path / "s.db")])
    assert row["id"] in told.output and "1 batch jobs" in told.output


def test_how_far_a_job_is_reads_as_people_do(tmp_path: Path) -> None:
    write(tmp_path, line("1"))
    assert ran(tmp_path).exit_code == 0
    told = CliRunner().invoke(main, ["batch", "status", str(tmp_path / "out.jsonl")]).output
    assert "status: finished\n" in told
    assert re.search(r"began: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", told)
    assert re.search(r"bill:\n  class default, plan .*, rows 1, tokens \d+", told)


def test_a_job_that_goes_on_has_one_row(tmp_path: Path) -> None:
    write(tmp_path, *(line(str(number)) for number in range(40)))
    assert ran(tmp_path, "--max-seconds", "0.02", "--concurrency", "1").exit_code == 6
    (first,) = rows(tmp_path)
    assert first["state"] == "expired" and first["completed"] < 40
    assert ran(tmp_path).exit_code == 0
    (last,) = rows(tmp_path)
    assert (last["id"], last["at"]) == (first["id"], first["at"])
    assert (last["state"], last["completed"]) == ("completed", 40)
    written = [json.loads(one) for one in (tmp_path / "out.jsonl").read_text().splitlines()]
    spent = sum(one["response"]["body"]["usage"]["completion_tokens"] for one in written)
    assert last["tokens"] == spent


def test_a_store_that_cannot_be_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    write(tmp_path, line("1"))
    told = ran(tmp_path, "--store", "mysql://host/name")
    assert told.exit_code == 2 and "mysql" in told.output
    assert not (tmp_path / "out.jsonl").exists()
