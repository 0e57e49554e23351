"""`thinkbudget db` and `outcomes`, `report --since`, and what else reads a store."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scheduler.store.outcome_store import OutcomeStore
from scheduler.store.records import job_record
from tests.scheduler.store.lines import NOW, label, lines, outcome
from thinkbudget import main


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with three outcomes, one of them wrong."""
    path = f"{tmp_path}/s.db"
    with OutcomeStore(path) as store:
        store.write(
            lines(
                outcome("aaa", correct=False, tokens=900, question="What is 8 * 9?"),
                outcome("abb", **{"class": "words"}, question="What is a noun?"),
                outcome("bcc", at=NOW - 5 * 86_400, question="What is 1 + 1?"),
                label("abb", 0.9),
                job_record("job-1", "completed", begun=NOW, total=2, completed=2, tokens=99),
            )
        )
    return path


def ran(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_outcomes_are_asked_for(url: str) -> None:
    found = ran(
        "outcomes", "query", "--store", url, "--wrong", "--since", "1d", "--format", "jsonl"
    )
    assert [json.loads(line)["id"] for line in found.output.splitlines()] == ["aaa"]
    last = ran("outcomes", "tail", "--store", url, "-n", 2).output.splitlines()
    assert [line.split()[1] for line in last] == ["abb", "bcc"]
    assert "label 0.9" in last[0]
    told = ran("outcomes", "explain", "--store", url, "bc")
    assert told.exit_code == 0
    assert "policy priced" in told.output
    assert ran("outcomes", "jobs", "--store", url).output.startswith("job-1  completed")


def test_a_report_of_served_traffic(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINKBUDGET_STORE", url)
    told = ran("report", "--since", "24h")
    assert told.exit_code == 0
    assert "2 queries, 1020 tokens" in told.output
    assert "1 batch jobs" in told.output and "job-1" in told.output
    found = json.loads(ran("report", "--since", "30d", "--format", "json").output)
    rows = [(row["query_class"], row["outcomes"]) for row in found["served"]]
    assert rows == [("sums", 2), ("words", 1)]
    assert [job["id"] for job in found["jobs"]] == ["job-1"]
    assert ran("report").exit_code == 2
    assert ran("report", "folder", "--since", "1h").exit_code == 2
    assert "must be like 24h" in ran("report", "--since", "soon").output


def test_a_store_is_checked_backed_up_and_exported(url: str, tmp_path: Path) -> None:
    assert ran("db", "current", "--store", url).output == "schema 0002, the newest is 0002\n"
    checked = ran("db", "check", "--store", url)
    assert (checked.exit_code, checked.output.splitlines()[-1]) == (0, "ok")
    saved = tmp_path / "saved.db"
    assert ran("db", "backup", "--store", url, "-o", saved).exit_code == 0
    assert ran("db", "backup", "--store", url, "-o", saved).exit_code == 2
    assert {path.name for path in tmp_path.glob("saved*")} == {"saved.db"}
    assert ran("db", "copy", "--store", saved, tmp_path / "back.db").exit_code == 0
    assert ran("outcomes", "tail", "--store", tmp_path / "back.db").output.count("\n") == 3
    exported = ran("db", "export", "--store", url, "-o", tmp_path / "parquet")
    assert (tmp_path / "parquet" / "outcomes.parquet").is_file()
    assert exported.exit_code == 0


def test_a_schema_goes_down_and_up(url: str) -> None:
    down = ran("db", "downgrade", "--store", url, "--to", "0001", "--yes")
    assert down.output == "schema 0002 -> 0001\n"
    refused = ran("outcomes", "tail", "--store", url)
    assert refused.exit_code == 2
    assert "thinkbudget db upgrade --store" in refused.output
    assert ran("db", "upgrade", "--store", url).output == "schema 0001 -> 0002\n"
    assert ran("db", "upgrade", "--store", url, "--to", "7").exit_code == 2


def test_a_store_that_is_away_ends_a_command_with_five() -> None:
    told = ran("db", "current", "--store", "postgresql://u:secret@127.0.0.1:9/n")
    assert told.exit_code == 5
    assert "secret" not in told.output
    assert len(told.output.splitlines()) == 1


def test_training_sets_and_classes_are_made_of_a_store(url: str, tmp_path: Path) -> None:
    out = tmp_path / "questions.jsonl"
    told = ran("curate", "from-outcomes", f"sqlite:///{url}", "-o", out)
    assert told.exit_code == 0, told.output
    assert [json.loads(line)["question"] for line in out.read_text().splitlines()] == [
        "What is 8 * 9?"
    ]
    fitted = ran("classes", "fit", url, "-o", tmp_path / "classes.npz", "--classes", 2)
    assert fitted.exit_code == 0, fitted.output


def test_a_store_without_texts_says_so(tmp_path: Path) -> None:
    path = f"{tmp_path}/bare.db"
    with OutcomeStore(path) as store:
        store.write(lines(outcome("a", question=None)))
    for command in (("classes", "fit", path), ("curate", "from-outcomes", path)):
        told = ran(*command, "-o", tmp_path / "out")
        assert told.exit_code == 2
        assert "store.texts" in told.output
