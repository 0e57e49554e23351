"""Which served questions are worth training on, worked out by hand."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from training.curate.from_outcomes import LONG, UNSURE, WRONG, questions_from
from training.curate_command import curate


def line(question: str, tokens: int, correct: bool | None, **more: Any) -> dict[str, Any]:
    line = {"question": question, "reference": "1", "class": "c", "correct": correct}
    return {**line, "chance": None, "tokens": {"total": tokens}, "price": 0.001, **more}


def reasons(*lines: dict[str, Any]) -> dict[str | None, str | None]:
    return {row["question"]: row["reason"] for row in questions_from(lines)}


def test_wrong_and_unlikely_answers_are_taken_once() -> None:
    assert reasons(
        line("a", 10, False),
        line("a", 10, False),
        line("b", 10, True),
        line("c", 10, None, chance=0.4),
        line("d", 10, None, chance=0.6),
        line("e", 10, None),
    ) == {"a": WRONG, "c": UNSURE}


def test_length_has_to_pay_for_itself() -> None:
    # The long query gains 1 - 2/3 of accuracy for 300 tokens: 0.0011 a token.
    short = [line("a", 100, True), line("b", 100, True), line("w", 100, False)]
    pays = reasons(*short, line("long", 400, True))
    assert pays == {"w": WRONG}
    dear = [each | {"price": 0.002} for each in (*short, line("long", 400, True))]
    assert reasons(*dear) == {"w": WRONG, "long": LONG}


def test_the_command_writes_a_source_and_refuses_another_file(tmp_path: Path) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "out.jsonl"
    log.write_text(json.dumps(line("a", 10, False)) + "\n")
    done = CliRunner().invoke(curate, ["from-outcomes", str(log), "-o", str(out)])
    assert done.exit_code == 0
    assert json.loads(out.read_text()) == {
        "question": "a", "solution": "1", "class": "c", "reason": WRONG,
    }  # fmt: skip
    log.write_text('{"a": 1}\n')
    refused = CliRunner().invoke(curate, ["from-outcomes", str(log), "-o", str(out)])
    assert (refused.exit_code, "not an outcome log" in refused.output) == (2, True)
