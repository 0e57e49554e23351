"""`thinkbudget grade` grades each line, names bad ones, and keeps the order."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from policies.answer_spec import AnswerSpec
from thinkbudget import main

LINES: list[dict[str, Any]] = [
    {"id": 1, "answer": "1/2", "reference": "0.5"},
    {"reply": "We had \\boxed{1}, so \\boxed{\\frac{1}{2}}", "reference": "\\frac12"},
    {"reply": "So it is 7.\n#### 8", "reference": "He has 7.\n#### 7"},
    {"answer": "(x-2)(x-3)", "reference": "x^2-5x+6"},
    {"answer": "(x-2)(x-3)", "reference": "x^2-5x-6"},
    {"answer": "Rome", "choices": ["Paris", "Rome"], "reference": "B"},
    {"answer": '{"b": 2, "a": 1}', "kind": "json", "reference": {"a": 1, "b": 2}},
    {"reply": "Result=4, Result=5;", "pattern": "Result=(\\d+)", "reference": 5},
    {"answer": None, "reference": "3"},
    {"reply": "Final Answer:", "reference": "3"},
    {"answer": "9**9**9", "reference": "1"},
]
RIGHT = [True, True, False, True, False, True, True, True, False, False, False]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["grade", *map(str, arguments)])


def written(path: Path, lines: list[object]) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_each_line_is_graded_with_a_reason_in_the_order_of_the_file(tmp_path: Path) -> None:
    source, out = written(tmp_path / "in.jsonl", [*LINES]), tmp_path / "out.jsonl"
    result = run(source, "-o", out)
    assert result.exit_code == 0, result.output
    assert f"{sum(RIGHT)} right of {len(LINES)}" in result.output
    graded = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["right"] for row in graded] == RIGHT
    for row, line in zip(graded, LINES, strict=True):
        assert row == row | line
        assert row["reason"]
        assert row["method"] in ("fast", "math", "text", "json", "none")
    assert graded[3]["method"] == "math"
    assert "there is no answer" in graded[8]["reason"]


def test_lines_that_cannot_be_read_are_named_and_the_rest_is_graded(tmp_path: Path) -> None:
    bad: list[object] = [
        "{",
        "[1]",
        {"answer": "1"},
        {"reference": "1"},
        {"answer": "1", "reply": "1", "reference": "1"},
        {"answer": "1", "reference": "1", "kind": "colour"},
        {"answer": "1", "reference": "1", "choices": "AB"},
        {"answer": "1", "reference": "1", "pattern": "("},
        {"answer": "1", "reference": None},
    ]
    result = run(written(tmp_path / "in.jsonl", [*bad, "", {"answer": "1", "reference": "1"}]))
    assert result.exit_code == 3
    assert "1 right of 1" in result.output
    assert f"{len(bad)} bad lines" in result.output
    for number in range(1, len(bad) + 1):
        assert f"line {number}: " in result.output


def test_the_kind_of_lines_that_name_none_can_be_given(tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [{"answer": "it is 5 in all", "reference": "5"}])
    assert "1 right" in run(source, "--kind", "number").output
    assert "0 right" in run(source, "--kind", "text").output


def test_the_source_is_never_written_over(tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [{"answer": "1", "reference": "1"}])
    before = source.read_bytes()
    assert run(source, "-o", source).exit_code == 2
    assert source.read_bytes() == before
    assert run(tmp_path / "none.jsonl").exit_code == 2


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"kind": "colour"}, "kind"),
        ({"choices": ("",)}, "choices"),
        ({"choices": ("x",) * 27}, "choices"),
        ({"choices": ("x",), "kind": "json"}, "choices"),
        ({"pattern": "("}, "pattern"),
        ({"pattern": "a" * 501}, "pattern"),
    ],
)
def test_what_an_answer_cannot_be_is_refused_by_name(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        AnswerSpec(**fields)  # type: ignore[arg-type]
