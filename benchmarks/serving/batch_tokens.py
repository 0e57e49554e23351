"""A job's budget on a real model, and its tokens at equal accuracy: a part of benchmarks/batch.py.

With scheduling off all rows get one setting: a number of extensions, or of votes. These settings
are rows of one job, each row naming its own. With scheduling on, `batch run --budget-tokens` spends
one budget over all rows; it starts cold, and every tenth row brings its right answer. What is
counted is every token generated; answers are graded here.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.goals import GoalResult, at_most, not_measured
from benchmarks.serving.batch_vllm import run_batch
from scheduler.experiments.metrics.pareto import tokens_at_equal_accuracy
from scheduler.experiments.metrics.table import ScoreTable, score_table
from scheduler.experiments.questions.load import load_questions
from scheduler.experiments.questions.question import Question, spread
from workers.answers.grader import is_right
from workers.models import POCKET

OFF: dict[str, dict[str, Any]] = {
    **{f"extensions={n}": {"policy": "fixed", "extensions": n} for n in range(5)},
    **{f"votes={n}": {"policy": "majority", "samples": n} for n in (2, 4, 8)},
}
PER_ROW = (100, 150, 200)
"""Budgets, in tokens a row."""
LABELLED = 10
GOAL_TOKENS = 0.9
GOAL_OVERSPENT = 1.01


def tokens_and_budgets(count: int) -> dict[str, GoalResult]:
    """Tokens over those of the best mix of single settings, at each budget; and what was spent."""
    # Anew from the middle of the set: the first of it are what other benchmarks ask.
    questions = spread(load_questions(POCKET), None)[-count:]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rows = _graded(_off(questions, place), questions)
        goals, over = {}, []
        for each in PER_ROW:
            budget, name = each * count, f"on, {each} a row"
            spent = _on(questions, place, budget)
            rows += _graded(spent, questions, name=name)
            over.append(sum(tokens for _, _, tokens in spent) / budget)
            table = score_table(rows)
            ratio = tokens_at_equal_accuracy(table, name, others=[*OFF])
            _tell(table, name)
            print(
                f"  {over[-1]:.2%} of the budget; tokens over the best mix of single settings at "
                f"its accuracy {ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})",
                flush=True,
            )
            goals[f"tokens at equal accuracy, {each} a row"] = (
                not_measured(GOAL_TOKENS, "all single settings take more")
                if np.isnan(ratio.value)
                else at_most(ratio.value, GOAL_TOKENS)
            )
    return goals | {"most of a live budget that was spent": at_most(max(over), GOAL_OVERSPENT)}


Answer = tuple[str, str | None, int]
"""The custom_id of a row, its answer, and its tokens."""


def _off(questions: list[Question], place: Path) -> list[Answer]:
    source, out = place / "off.jsonl", place / "off-out.jsonl"
    with source.open("w", encoding="utf-8") as file:
        for name, options in OFF.items():
            for question in questions:
                own = {"thinkbudget": options | {"learn": False}}
                body = {"messages": [{"role": "user", "content": question.question}], **own}
                line = {"custom_id": f"{name}/{question.id}", "body": body}
                file.write(json.dumps(line) + "\n")
    run_batch(source, out)
    found = list(_answers(out))
    for name in OFF:
        _count(found, name)
    return found


def _on(questions: list[Question], place: Path, budget: int) -> list[Answer]:
    source, out = place / "on.jsonl", place / f"on-{budget}.jsonl"
    with source.open("w", encoding="utf-8") as file:
        for number, question in enumerate(questions):
            row = {"id": question.id, "question": question.question, "class": question.query_class}
            label = {} if number % LABELLED else {"answer": question.answer}
            file.write(json.dumps(row | label) + "\n")
    run_batch(source, out, "--budget-tokens", str(budget))
    return list(_answers(out))


def _answers(out: Path) -> Iterator[Answer]:
    for line in out.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        body = told["response"]["body"]
        account = body["thinkbudget"]
        yield told["custom_id"], account["answer"], body["usage"]["completion_tokens"]


def _count(found: list[Answer], name: str) -> None:
    tokens = [tokens for custom_id, _, tokens in found if custom_id.startswith(f"{name}/")]
    print(f"off, {name}: {sum(tokens) / len(tokens):.0f} tokens a row", flush=True)


def _graded(
    found: list[Answer], questions: list[Question], *, name: str | None = None
) -> list[dict[str, Any]]:
    """Rows of results. Without a `name` it stands before the id."""
    known = {question.id: question for question in questions}
    rows = []
    for custom_id, answer, tokens in found:
        policy, _, key = custom_id.rpartition("/")
        question = known[key]
        rows.append(
            {
                "policy": name or policy,
                "questions": "pocket",
                "id": key,
                "class": question.query_class,
                "correct": answer is not None and is_right(answer, question.answer),
                "tokens": tokens,
            }
        )
    return rows


def _tell(table: ScoreTable, name: str) -> None:
    at = table.place(name)
    accuracy = table.correct[at].sum() / table.asked[at].sum()
    tokens = table.tokens[at].sum() / table.asked[at].sum()
    print(f"{name}: {accuracy:.1%} right with {tokens:.0f} tokens a row", flush=True)
