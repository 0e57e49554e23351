"""From outcomes to the table, the verdicts and the picture."""

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest

from scheduler.experiments import report
from scheduler.experiments.report import ReportRow, Scored
from scheduler.experiments.report_files import write


def row(policy: str, accuracy: float, tokens: float) -> ReportRow:
    return ReportRow(policy, 100, accuracy, accuracy - 0.05, accuracy + 0.05, tokens, 0.1)


def scored(policy: str, right: int, count: int, tokens: int, name: str = "sums") -> list[Scored]:
    return [Scored(policy, name, number < right, tokens, 0.5) for number in range(count)]


HULL = [row("short", 0.5, 100), row("dear", 0.55, 290), row("middle", 0.7, 200),
        row("worse", 0.6, 400), row("long", 0.8, 400)]  # fmt: skip


def test_a_policy_is_summed_up_in_one_row() -> None:
    lines = scored("b", 30, 40, 200) + scored("a", 5, 10, 100) + scored("b", 0, 10, 100)
    a, b = report.summarise(lines)
    assert (a.policy, a.questions, a.accuracy, a.tokens) == ("a", 10, 0.5, 100)
    assert (b.policy, b.questions, b.accuracy, b.tokens) == ("b", 50, 0.6, 180)
    assert b.seconds == pytest.approx(0.5)


@pytest.mark.parametrize(("right", "count"), [(0, 7), (7, 7), (3, 10), (250, 1000)])
def test_the_interval_is_wilsons(right: int, count: int) -> None:
    (found,) = report.summarise(scored("p", right, count, 10))
    span = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((span.low, span.high))
    assert found.low <= found.accuracy <= found.high


@pytest.mark.parametrize(
    ("accuracy", "tokens"),
    [
        (0.3, 100),  # below all: the cheapest
        (0.5, 100),
        (0.6, 150),  # half way on the hull, cheaper than the two settings that lie under it
        (0.7, 200),
        (0.75, 300),
        (0.8, 400),
        (0.81, None),  # above all
    ],
)
def test_tokens_are_read_off_the_hull(accuracy: float, tokens: float | None) -> None:
    found = report.tokens_for(HULL, accuracy)
    assert found == (None if tokens is None else pytest.approx(tokens))
    assert report.tokens_for(HULL[::-1], accuracy) == found


def test_a_setting_under_the_hull_changes_nothing() -> None:
    bent = [row("a", 0.5, 100), row("under", 0.55, 200), row("b", 0.9, 300)]
    assert report.tokens_for(bent, 0.7) == pytest.approx(200)


def test_no_settings_reach_nothing() -> None:
    assert report.tokens_for([], 0.1) is None


def test_a_verdict_compares_with_the_best_mix_of_the_others() -> None:
    rows = [row("short", 0.5, 100), row("long", 0.8, 400), row("learned", 0.65, 125)]
    assert report.verdicts(rows) == [
        "short: 0.80x the tokens that the best mix of the others needs for 50.0%",
        "long: more accurate than any mix of the others",
        "learned: 0.50x the tokens that the best mix of the others needs for 65.0%",
    ]


def test_one_policy_alone_has_no_verdict() -> None:
    assert report.verdicts([row("only", 0.5, 100)]) == []


def test_the_tables_have_a_line_a_policy() -> None:
    lines = scored("a", 5, 10, 100) + scored("long name", 9, 10, 300, "words")
    table = report.table(report.summarise(lines)).splitlines()
    assert len(table) == 3
    assert "50.0%" in table[1] and "90.0%" in table[2]
    classes = report.by_class(lines).splitlines()
    assert classes[0].split() == ["policy", "sums", "words"]
    assert classes[1].split() == ["a", "50.0%", "(", "100)", "-"]


def test_the_report_is_three_files(tmp_path: Path) -> None:
    lines = scored("a", 5, 10, 100) + scored("priced", 9, 10, 300)
    picture = write(tmp_path / "deep" / "report", lines, [])
    assert sorted(path.name for path in picture.parent.iterdir()) == [
        "report.json", "report.png", "report.txt",
    ]  # fmt: skip
    told = json.loads((picture.parent / "report.json").read_text(encoding="utf-8"))
    assert [one["policy"] for one in told["policies"]] == ["a", "priced"]
    assert told["verdicts"] == report.verdicts(report.summarise(lines))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_outcomes_without_a_known_answer_are_left_out(tmp_path: Path) -> None:
    line = {"policy": "p", "class": "c", "correct": None, "tokens": {"total": 9}, "seconds": 0.1}
    text = "".join(json.dumps(line | {"correct": known}) + "\n" for known in (True, None, False))
    (tmp_path / "p.0.jsonl").write_text(text + '{"torn', encoding="utf-8")
    assert report.read_folder(tmp_path) == [
        Scored("p", "c", True, 9, 0.1), Scored("p", "c", False, 9, 0.1),
    ]  # fmt: skip


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        report.read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ['{"a": 1}\n', "words\n", "[]\n"])
def test_a_file_that_is_no_outcome_log_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"notes\.jsonl"):
        report.read_folder(tmp_path)


def test_of_several_curves_of_a_class_the_best_known_is_drawn(tmp_path: Path) -> None:
    for number, queries in enumerate((5, 50, 7)):
        line = {"class": "c", "curve": {"queries": queries}}
        path = tmp_path / f"p.{number}.curves.json"
        path.write_text(json.dumps({"classes": [line]}), encoding="utf-8")
    assert [line["curve"]["queries"] for line in report.read_curves(tmp_path)] == [50]
