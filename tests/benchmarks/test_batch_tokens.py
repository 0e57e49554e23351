"""Tokens at equal accuracy are counted by the truth of the answers, whatever ran the rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving import batch_tokens
from scheduler.experiments.questions.load import load_questions
from workers.models import POCKET

COUNT = 100
RIGHT = {question.id: question.answer for question in load_questions(POCKET)}
OFF_TOKENS = {f"extensions={n}": 50 * (n + 1) for n in range(5)}
"""Each extension makes a fifth more of the rows right, for 50 tokens."""


def answer(right: bool, tokens: int, key: str) -> dict[str, Any]:
    account = {"answer": RIGHT[key] if right else "none"}
    body = {"thinkbudget": account, "usage": {"completion_tokens": tokens}}
    return {"response": {"body": body}}


class Runner:
    """Stands for `batch run`: rows of a setting cost what it costs; a job its budget and more."""

    def __init__(self, over: float, right: float) -> None:
        self.over, self.right, self.labelled = over, right, 0

    def __call__(self, source: Path, out: Path, *flags: str) -> None:
        rows = [json.loads(line) for line in source.read_text().splitlines()]
        budget = int(flags[1]) if flags else 0
        self.labelled = sum("answer" in row for row in rows)
        with out.open("w") as file:
            for number, row in enumerate(rows):
                name, _, key = str(row.get("custom_id") or row["id"]).rpartition("/")
                place = number % COUNT / COUNT
                if budget:
                    tokens, share = round(self.over * budget / COUNT), self.right
                else:
                    tokens = OFF_TOKENS.get(name, 1000)
                    share = OFF_TOKENS.get(name, 0) / 250
                told = {"custom_id": row.get("custom_id") or row["id"]}
                file.write(json.dumps(told | answer(place < share, tokens, key)) + "\n")


def goals(monkeypatch: pytest.MonkeyPatch, runner: Runner) -> dict[str, Any]:
    monkeypatch.setattr(batch_tokens, "run_batch", runner)
    return batch_tokens.tokens_and_budgets(COUNT)


def test_a_job_is_held_against_the_best_mix_of_single_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = Runner(over=1.0, right=0.6)
    found = goals(monkeypatch, runner)
    # 60 % right takes 150 tokens a row by a single setting.
    for each in batch_tokens.PER_ROW:
        told = found[f"tokens at equal accuracy, {each} a row"]
        assert told["value"] == pytest.approx(each / 150, abs=1e-4)
        assert told["met"] is (each / 150 <= batch_tokens.GOAL_TOKENS)
    assert found["most of a live budget that was spent"] == {
        "value": 1.0,
        "goal": 1.01,
        "met": True,
    }
    assert runner.labelled == COUNT // batch_tokens.LABELLED


def test_what_is_spent_over_a_budget_is_a_missed_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    found = goals(monkeypatch, Runner(over=1.02, right=0.1))
    assert found["most of a live budget that was spent"]["met"] is False
    assert "reason" in found["tokens at equal accuracy, 100 a row"]
