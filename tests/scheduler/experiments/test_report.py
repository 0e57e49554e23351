"""From results to tables, verdicts and the picture."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scheduler.experiments import report, tables
from scheduler.experiments.curve_tables import read_curves
from scheduler.experiments.report_files import write
from scheduler.experiments.results import COLUMNS, NAMES, line_of, load_results, write_results
from scheduler.experiments.tables import TextTable
from thinkbudget import main

TABLE = TextTable("T_1", ("policy", "x %"), (("a|b", "1%"), ("c_d", "20%")), "a note")


def scored(
    policy: str, right: int, count: int, tokens: int, name: str = "sums", **more: Any
) -> list[dict[str, Any]]:
    plain: dict[str, Any] = {
        "engine": "e",
        "questions": "q",
        "policy": policy,
        "seed": 0,
        "class": name,
    }
    plain |= {"tokens": tokens, "seconds": 0.5, "error": None}
    return [
        plain
        | {
            "id": f"{name}{n}",
            "correct": n < right,
            "tokens": tokens,
            "seconds": 0.5,
            "error": None,
        }
        | more
        for n in range(count)
    ]


def block(*rows: dict[str, Any]) -> report.ReportBlock:
    (found,) = report.blocks(rows)
    return found


def test_a_table_has_four_forms() -> None:
    assert tables.plain(TABLE).splitlines() == [
        "T_1", "policy  x %", "a|b      1%", "c_d     20%", "a note",
    ]  # fmt: skip
    assert tables.markdown(TABLE) == (
        "### T_1\n\n| policy | x % |\n|---|---:|\n| a\\|b | 1% |\n| c_d | 20% |\n\na note"
    )
    assert list(csv.reader(tables.as_csv(TABLE).splitlines())) == [
        ["policy", "x %"], ["a|b", "1%"], ["c_d", "20%"],
    ]  # fmt: skip
    assert "c\\_d & 20\\% \\\\" in tables.latex(TABLE).splitlines()


def test_a_verdict_compares_with_the_best_mix_of_the_others() -> None:
    found = block(
        *scored("short", 50, 100, 100), *scored("long", 80, 100, 400),
        *scored("learned", 65, 100, 125),
    )  # fmt: skip
    short, learned, long = report.verdicts(found)
    assert short.startswith("short: no other policy is as cheap or as inaccurate")
    assert learned.startswith("learned: 50% fewer tokens than the best mix of the others")
    assert long == "long: more accurate than any mix of the others"
    assert report.verdicts(block(*scored("only", 1, 2, 10))) == []


def test_engines_and_sets_are_told_apart() -> None:
    rows = [*scored("a", 1, 4, 10), *scored("a", 3, 4, 10, questions="other")]
    titles = [each.title for each in report.blocks(rows)]
    assert titles == ["q on e", "other on e"]


def test_the_tables_tell_policies_and_classes() -> None:
    rows = scored("a", 5, 10, 100) + scored("long name", 9, 10, 300, "words")
    policies, classes, *_ = report.tables(block(*rows))
    assert policies.rows[0][:4] == ("a", "10", "10", "50.0% (20.0% to 80.0%)")
    assert policies.rows[0][4] == "100.0 (100.0 to 100.0)"
    assert classes.head == ("policy", "sums", "words")
    assert classes.rows == (("a", "50.0% (100)", "-"), ("long name", "-", "90.0% (300)"))


def test_a_grid_has_s1s_metrics() -> None:
    rows = [
        line
        for cap, right in ((64, 10), (128, 30), (256, 50))
        for line in scored(f"f-max_thinking_tokens={cap}", right, 100, cap, thinking_tokens=cap)
    ]
    (found,) = [each for each in report.tables(block(*rows)) if "s1" in each.title]
    assert found.rows == (("f", "3", "100%", "20.0", "50.0"),)
    assert report.family("f-extensions=2,cap=3") == "f"
    assert report.family("two-waits") == "two-waits"


def test_families_are_compared_at_equal_tokens() -> None:
    rows = [
        line
        for name, gain in (("good", 10), ("bad", 0))
        for step, tokens in ((1, 100), (2, 400))
        for line in scored(f"{name}-samples={step}", 40 + 20 * step + gain, 100, tokens)
    ]
    (found,) = [each for each in report.tables(block(*rows)) if "families" in each.title]
    ((pair, gap),) = found.rows
    assert pair == "good - bad" and gap.startswith("+10.0 (+")


def test_votes_have_maj_and_pass_at_k() -> None:
    rows = scored(
        "v", 1, 1, 40, chain_answers=["1", "1", "2", "3"], extensions=0,
        chain_correct=[True, True, False, False],
    )  # fmt: skip
    (found,) = [each for each in report.tables(block(*rows)) if "chains of v" in each.title]
    assert found.rows[0] == ("1", "50.0%", "50.0%")
    assert found.rows[-1] == ("4", "100.0%", "100.0%")


def test_the_report_is_written_in_every_form(tmp_path: Path) -> None:
    rows = scored("a", 5, 10, 100) + scored("priced", 9, 10, 300, predicted=0.8)
    text = write(tmp_path / "deep" / "report", rows)
    names = {path.name for path in text.parent.iterdir()}
    assert names >= {f"report.{kind}" for kind in ("txt", "md", "tex", "json", "png", "html")}
    (told,) = json.loads((text.parent / "report.json").read_text(encoding="utf-8"))
    assert [one["policy"] for one in told["policies"]] == ["a", "priced"]
    assert told["policies"][0]["accuracy"]["value"] == 0.5
    assert (text.parent / "report.png").read_bytes().startswith(b"\x89PNG")
    assert "calibration error" in text.read_text(encoding="utf-8")


def test_results_are_the_same_in_parquet_and_json(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    cell = tmp_path / "cells" / "one.jsonl"
    cell.parent.mkdir()
    rows = scored("a", 1, 3, 10, chain_answers=["1", None], chain_correct=[True, False])
    cell.write_text("".join(map(line_of, rows)), encoding="utf-8")
    lines, parquet = write_results(tmp_path, [cell, tmp_path / "cells" / "missing.jsonl"])
    assert lines.read_bytes() == cell.read_bytes()
    table = pq.read_table(parquet)
    assert table.column_names == [column.name for column in COLUMNS]
    assert table.to_pylist() == load_results(tmp_path)


def test_the_page_tells_every_column() -> None:
    page = (Path(__file__).parents[3] / "docs" / "experiments.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    told = {parts[1].strip(" `"): parts[3].strip() for parts in rows if len(parts) == 5}
    assert {name: told.get(name) for name in NAMES} == {c.name: c.about for c in COLUMNS}


def test_outcome_logs_are_reported_too(tmp_path: Path) -> None:
    line = {"policy": "p", "class": "c", "correct": None, "tokens": {"total": 9}, "seconds": 0.1}
    text = "".join(
        json.dumps(line | {"correct": known, "question": f"{n}?"}) + "\n"
        for n, known in enumerate((True, None, False))
    )
    (tmp_path / "p.0.jsonl").write_text(text + '{"torn', encoding="utf-8")
    found = load_results(tmp_path)
    assert [(row["id"], row["correct"], row["tokens"]) for row in found] == [
        ("0?", True, 9), ("2?", False, 9),
    ]  # fmt: skip


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        load_results(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no outcome"):
        load_results(tmp_path)


@pytest.mark.parametrize("text", ['{"a": 1}\n', "words\n", "[]\n"])
def test_a_file_that_is_no_outcome_log_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"notes\.jsonl"):
        load_results(tmp_path)


def test_of_several_curves_of_a_class_the_best_known_is_drawn(tmp_path: Path) -> None:
    for number, queries in enumerate((5, 50, 7)):
        line = {"class": "c", "curve": {"queries": queries}}
        path = tmp_path / f"p.{number}.curves.json"
        path.write_text(json.dumps({"classes": [line]}), encoding="utf-8")
    assert [line["curve"]["queries"] for line in read_curves(tmp_path)] == [50]


def test_the_commands_run_resume_show_compare_and_report(tmp_path: Path) -> None:
    config, out = tmp_path / "e.toml", str(tmp_path / "out")
    text = (
        'limit = 10\nengine.kind = "simulated"\n[policies]\n'
        'votes = { policy = "majority", samples = [1, 3] }\n'
    )
    config.write_text(text, encoding="utf-8")
    invoke, run = CliRunner().invoke, ["experiment", "run", str(config), "-o", out]

    def shown(*command: str, code: int = 0) -> str:
        done = invoke(main, command)
        assert done.exit_code == code, done.output
        return done.output

    plan = shown(*run, "--dry-run")
    assert "2 cells (engine, questions, policy, seed), 2 of them to do; 20 questions in all" in plan
    assert "votes-samples=3" in plan and not Path(out).exists()
    assert "results in" in shown(*run)
    assert "results in" in shown("experiment", "resume", out)
    assert "2 of 2 cells are complete" in shown("experiment", "show", out)
    assert "votes-samples=1 (A) - votes-samples=1 (B)" in shown("experiment", "compare", out, out)
    pair = ["--compare", "votes-samples=1", "votes-samples=3"]
    assert "| votes-samples=1 - votes-samples=3 | 10 |" in shown(
        "report", out, *pair, "--format", "md"
    )
    assert "no policy 'x' in it" in shown("report", out, "--compare", "x", "y", code=2)
    config.write_text(text.replace("10", "11"), encoding="utf-8")
    refused = shown(*run, code=4)
    assert "begun with another questions.simulated" in refused and "aside with --force" in refused
    assert "results in" in shown(*run, "--force")
