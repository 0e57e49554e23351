"""One cell: its questions in the seed's own order, asked some at a time, rows as they come.

`CELL.partial` grows by a line a question. On engines that cost nothing a cell that was not
completed is run again from its beginning, so that it comes out the same; on all others it goes on
after the questions that it has.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from random import Random
from typing import IO

from scheduler.experiments.asking import AskQuestion
from scheduler.experiments.cells import OUTCOMES, ExperimentCell
from scheduler.experiments.questions.question import Question
from scheduler.experiments.results import ResultRow, line_of, read_cell
from scheduler.experiments.rows import Asked

Advance = Callable[[str], None]


def in_order(cell: ExperimentCell, questions: Sequence[Question], labelled: float) -> list[Asked]:
    """The questions in the seed's order; only a share of them comes with its right answer."""
    rng = Random(cell.seed)
    return [
        Asked(cell, turn, question, rng.random() < labelled)
        for turn, question in enumerate(rng.sample(list(questions), len(questions)))
    ]


def partial_rows(path: Path) -> list[ResultRow]:
    """What a live cell has so far; a torn last line is cut off, so that more can be appended.

    Nothing is written anew: on a full disk that would lose what is there.
    """
    partial = path.with_suffix(".partial")
    if not partial.is_file():
        return []
    whole = partial.read_bytes()
    os.truncate(partial, whole.rfind(b"\n") + 1)
    return read_cell(partial)


def partial_rows_of(path: Path) -> int:
    """How many questions an incomplete cell has; nothing is changed."""
    partial = path.with_suffix(".partial")
    return len(read_cell(partial)) if partial.is_file() else 0


async def run_cell(
    asked: Sequence[Asked],
    ask: AskQuestion,
    path: Path,
    *,
    concurrency: int,
    keeps_outcomes: bool,
    done: Sequence[ResultRow],
    advance: Advance,
) -> list[ResultRow]:
    """Ask what is not `done`, and return all rows in the order of their turns."""
    log = path.parent.parent / OUTCOMES / path.name
    have = {row["id"] for row in done}
    if keeps_outcomes:
        log.parent.mkdir(exist_ok=True)
        if done:
            _keep_outcomes(log, have)
    waiting = iter([each for each in asked if each.question.id not in have])
    rows = list(done)
    partial, mode = path.with_suffix(".partial"), "a" if done else "w"
    with (
        partial.open(mode, encoding="utf-8") as lines,
        log.open(mode, encoding="utf-8") if keeps_outcomes else _nowhere() as outcomes,
    ):

        async def worker() -> None:
            for each in waiting:
                answered = await ask(each)
                row = answered.row | {"error": answered.row.get("error")}
                rows.append(row)
                # The row last: a question that has one is not asked again.
                if keeps_outcomes and answered.outcome is not None:
                    _write(outcomes, json.dumps(answered.outcome) + "\n")
                _write(lines, line_of(row))
                advance(each.cell.name)

        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
    return sorted(rows, key=lambda row: row["turn"])


def complete(path: Path, rows: Sequence[ResultRow]) -> None:
    """Put the cell's file in its place; all else that belongs to the cell is there by then."""
    partial, ordered = path.with_suffix(".partial"), path.with_suffix(".ordered")
    ordered.write_text("".join(map(line_of, rows)), encoding="utf-8")
    ordered.replace(path)
    partial.unlink(missing_ok=True)


def _keep_outcomes(log: Path, have: Set[str]) -> None:
    """Those of questions that have a row; what is torn, or asked again, is left out."""
    if not log.is_file():
        return
    kept = log.with_suffix(".kept")
    with log.open("rb") as lines, kept.open("wb") as file:
        for line in lines:
            with contextlib.suppress(ValueError):
                if line.endswith(b"\n") and json.loads(line)["question_id"] in have:
                    file.write(line)
    kept.replace(log)


def _write(file: IO[str], line: str) -> None:
    file.write(line)
    file.flush()


def _nowhere() -> IO[str]:
    return Path("/dev/null").open("w", encoding="utf-8")
