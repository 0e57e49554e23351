"""The demonstration: several policies answer the same questions through one real endpoint.

Every policy is asked over HTTP, one after another. Only `priced` learns, from a cold start, and
only from its own queries; it gets the right answer after each, as in a graded benchmark.
"""

import asyncio
import json
import time
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from scheduler.client.http_client import Client
from scheduler.experiments.cells import FOLDER, ExperimentCell
from scheduler.experiments.questions.question import Question
from scheduler.experiments.results import ResultRow, line_of
from scheduler.progress import Progress
from workers.answers.grader import is_right

CONCURRENCY = 32
LEARNS = "priced"
POLICIES: dict[str, dict[str, Any]] = {
    "one pass": {"policy": "fixed"},
    "2 extensions": {"policy": "fixed", "extensions": 2},
    "4 extensions": {"policy": "fixed", "extensions": 4},
    "5 extensions": {"policy": "fixed", "extensions": 5},
    "majority of 8": {"policy": "majority", "samples": 8},
    "adaptive consistency": {"policy": "adaptive_consistency", "max_samples": 16},
    "priced": {"policy": "priced"},
}


class Shown(NamedTuple):
    """What the demonstration brings to the report."""

    scored: list[ResultRow]
    curves: dict[str, Any]
    walls: dict[str, float]


async def show(url: str, model: str, questions: list[Question], progress: Progress) -> Shown:
    client = Client(url)
    scored: list[ResultRow] = []
    walls = {}
    try:
        for label, options in POLICIES.items():
            began = time.monotonic()
            scored += await _ask_all(client, model, label, options, questions, progress)
            walls[label] = time.monotonic() - began
        curves = await client.get("/thinkbudget/curves")
    finally:
        await client.close()
    return Shown(scored, curves, walls)


async def _ask_all(
    client: Client,
    model: str,
    label: str,
    options: dict[str, Any],
    questions: list[Question],
    progress: Progress,
) -> list[ResultRow]:
    scored: list[ResultRow] = []
    waiting = iter(enumerate(questions))
    learns = options["policy"] == LEARNS

    async def worker() -> None:
        for turn, question in waiting:
            budget = options | {"learn": learns}
            if learns:
                budget["reference_answer"] = question.answer
            reply = await client.answer(
                {
                    "model": model,
                    "messages": [{"role": "user", "content": question.question}],
                    "metadata": {"query_class": question.query_class},
                    "thinkbudget": budget,
                }
            )
            account = reply["thinkbudget"]
            scored.append(
                {
                    "engine": "endpoint",
                    "questions": model,
                    "policy": label,
                    "seed": 0,
                    "turn": turn,
                    "id": question.id,
                    "class": question.query_class,
                    "correct": is_right(account["answer"], question.answer),
                    "tokens": account["spent"]["tokens"],
                    "seconds": account["spent"]["seconds"],
                }
            )
            progress.advance(label)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(worker())
    return scored


def last_half(rows: list[ResultRow]) -> str:
    """What `priced` reaches once it has learned: on the half of the questions asked last.

    By when they were asked, not answered: the answers that come last took the most tokens.
    """
    learned = sorted((row for row in rows if row["policy"] == LEARNS), key=lambda row: row["turn"])
    half = learned[len(learned) // 2 :]
    right, tokens = mean(bool(row["correct"]) for row in half), mean(row["tokens"] for row in half)
    return f"{LEARNS} on the last {len(half)} questions: {right:.1%} at {tokens:.0f} tokens"


def save(folder: Path, shown: Shown) -> None:
    """The demonstration's raw figures, in the files that `thinkbudget report` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(map(line_of, shown.scored))
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / "demo.jsonl").write_text(text, encoding="utf-8")
    first = shown.scored[0]
    cell = ExperimentCell(first["engine"], first["questions"], "priced", 0)
    curves = cell.path(folder).with_suffix(".curves.json")
    curves.write_text(json.dumps(shown.curves), encoding="utf-8")
