"""Rows a second of every stage of a curation, and the memory of all its processes.

    python -m benchmarks.curation [--rows N] [--in-process] [--quick]

A synthetic pool of so many questions goes through all stages. Its models answer at once
(training/curate/synthetic.py), so the stages that ask models show their own cost alone. The bulk
stages run on Ray Data unless `--in-process` is given. Memory is the largest proportional set size
of this process and its children, taken once a second. The last line is JSON.
"""

import json
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import psutil

from benchmarks.goals import GoalResult, at_most, report
from training.curate.bulk import InProcess, Mapper
from training.curate.pipeline import Pipeline, steps
from training.curate.settings import (
    Classify,
    Curation,
    Decontaminate,
    Difficulty,
    Endpoint,
    Quality,
    Questions,
    Select,
    Traces,
)
from training.curate.synthetic import connect, pool
from workers.models import POCKET_FOLDER

SECONDS, MEGABYTES = 600.0, 2048.0
"""Goals for 60,000 questions."""
ROWS, QUICK_ROWS = 60_000, 3_000
TEST_ROWS = 100


class StageTime(NamedTuple):
    step: str
    rows: int
    seconds: float


class MemoryWatch(threading.Thread):
    """Measures the memory of this process and its children until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.megabytes = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(1.0):
            self.megabytes = max(self.megabytes, _megabytes())

    def stop(self) -> None:
        self._over.set()
        self.join()


def curation(folder: Path, rows: int) -> Curation:
    """Two sources, of which the first shares some questions with a test set."""
    halves = {"a": rows // 2, "b": rows - rows // 2}
    for seed, (name, count) in enumerate(halves.items()):
        _write(folder / f"{name}.jsonl", list(pool(count, seed)))
    tests = [{"problem": row["question"]} for row in pool(TEST_ROWS)]
    _write(folder / "tests.jsonl", tests)
    return Curation(
        out=str(folder / "out"),
        sources=tuple(Questions(name, str(folder / f"{name}.jsonl")) for name in halves),
        decontaminate=Decontaminate((Questions("MATH500", str(folder / "tests.jsonl")),)),
        traces=Traces(_model("0.9")),
        quality=Quality(str(POCKET_FOLDER)),
        classify=Classify(_model("1")),
        difficulty=Difficulty({"weak": _model("0.3"), "strong": _model("0.5")}),
        select=Select(sets=("s1", "random"), size=min(1000, rows // 10), uniform_until=rows // 20),
    )


def run(settings: Curation, *, on_ray: bool) -> list[StageTime]:
    times = []
    with _on_ray() if on_ray else nullcontext(InProcess()) as bulk:
        pipeline = Pipeline(settings, bulk, connect)
        for step in steps(settings, "all"):
            began = time.perf_counter()
            manifest = pipeline.run(step)
            seconds = time.perf_counter() - began
            times.append(StageTime(step, manifest.rows_in, seconds))
            click.echo(
                f"{step:<14} {manifest.rows_in:>8} rows in {manifest.rows_out:>8} out "
                f"{seconds:7.1f} s {manifest.rows_in / seconds:9.0f} rows/s"
            )
    return times


def goals(times: list[StageTime], megabytes: float) -> dict[str, GoalResult]:
    return {
        "seconds of all stages": at_most(sum(each.seconds for each in times), SECONDS),
        "largest memory, MB": at_most(megabytes, MEGABYTES),
    }


@click.command()
@click.option("--rows", type=click.IntRange(1000), default=ROWS, show_default=True)
@click.option("--in-process", is_flag=True, help="Without Ray.")
@click.option("--quick", is_flag=True, help=f"{QUICK_ROWS} rows.")
def main(rows: int, in_process: bool, quick: bool) -> None:
    """Rows a second of every stage of a curation, and its memory."""
    with TemporaryDirectory() as folder:
        settings = curation(Path(folder), QUICK_ROWS if quick else rows)
        watch = MemoryWatch()
        watch.start()
        try:
            times = run(settings, on_ray=not in_process)
        finally:
            watch.stop()
    report(goals(times, watch.megabytes))


def _on_ray() -> AbstractContextManager[Mapper]:
    from training.curate.ray_bulk import joined

    return joined()


def _model(skill: str) -> Endpoint:
    return Endpoint(skill, prompt_price=0, completion_price=0)


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _megabytes() -> float:
    total = 0
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**20


if __name__ == "__main__":
    main()
