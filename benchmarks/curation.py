"""Rows a second of every stage of a curation, and the memory of all its processes.

    python -m benchmarks.curation [--rows N] [--pure] [--in-process] [--quick]

A synthetic pool of so many questions goes through all stages. Its models answer at once
(training/curate/synthetic.py), so the stages that ask models show their own cost alone. With
`--pure` no stage asks: what models would answer is written into the rows after `dedup`. The bulk
stages run on Ray Data unless `--in-process` is given. Memory is the largest proportional set size
of this process and its children, taken five times a second. The last line is JSON.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import psutil
import pyarrow as pa

from benchmarks.goals import GoalResult, at_most, report
from training.curate.bulk import BatchFunction, InProcess, Mapper
from training.curate.manifest import Manifest
from training.curate.parts import PartWriter, part_files
from training.curate.pipeline import Pipeline, steps
from training.curate.quality import Check, counting_tokenizer
from training.curate.rows import with_column
from training.curate.selection import select
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
from training.curate.synthetic import SyntheticModel, connect, domain, pool
from workers.models import POCKET_FOLDER

SECONDS, MEGABYTES = 600.0, 2048.0
"""Goals for 60,000 questions."""
ROWS, QUICK_ROWS = 60_000, 3_000
TEST_ROWS = 100
SAMPLE_SECONDS = 0.2
TEACHER = "0.9"


class StageTime(NamedTuple):
    step: str
    rows: int
    seconds: float
    megabytes: float


class MemoryWatch(threading.Thread):
    """Measures the largest memory of this process and its children until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.megabytes = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.megabytes = max(self.megabytes, _megabytes())

    def take(self) -> float:
        """The largest since the last call, in MB."""
        taken, self.megabytes = max(self.megabytes, _megabytes()), 0.0
        return taken

    def stop(self) -> None:
        self._over.set()
        self.join()


def curation(folder: Path, rows: int) -> Curation:
    """Two sources, of which the first shares some questions with a test set."""
    halves = {"a": rows // 2, "b": rows - rows // 2}
    for seed, (name, count) in enumerate(halves.items()):
        _write(folder / f"{name}.jsonl", pool(count, seed))
    tests = ({"problem": row["question"]} for row in pool(TEST_ROWS))
    _write(folder / "tests.jsonl", tests)
    return Curation(
        out=str(folder / "out"),
        sources=tuple(Questions(name, str(folder / f"{name}.jsonl")) for name in halves),
        decontaminate=Decontaminate((Questions("MATH500", str(folder / "tests.jsonl")),)),
        traces=Traces(_model(TEACHER)),
        quality=Quality(str(POCKET_FOLDER)),
        classify=Classify(_model("1")),
        difficulty=Difficulty({"weak": _model("0.3"), "strong": _model("0.5")}),
        select=Select(sets=("s1", "random"), size=min(1000, rows // 10), uniform_until=rows // 20),
    )


def run(settings: Curation, watch: MemoryWatch, *, on_ray: bool, pure: bool) -> list[StageTime]:
    with _on_ray() if on_ray else nullcontext(InProcess()) as bulk:
        pipeline = Pipeline(settings, bulk, connect)
        first = ("load", "decontaminate", "dedup") if pure else steps(settings, "all")
        times = [_timed(step, watch, partial(pipeline.run, step)) for step in first]
        if pure:
            check = Check(bulk.share(counting_tokenizer(settings.quality.tokenizer)))
            later: list[tuple[str, str, BatchFunction | None]]
            later = [("answers", "dedup", answered), ("quality", "answers", check)]
            later += [(step, "quality", None) for step in steps(settings, "select")]
            times += [_timed(each[0], watch, partial(_made, pipeline, *each)) for each in later]
    return times


def _made(pipeline: Pipeline, step: str, before: str, function: BatchFunction | None) -> PartWriter:
    """Writes a step outside of the pipeline, whose own order asks models in between."""
    files, folder = part_files(pipeline.folder(before)), pipeline.folder(step)
    folder.mkdir()
    with PartWriter(folder) as out:
        if function is None:
            select(step.removeprefix("select-"), files, pipeline.settings.select, out)
        else:
            for batch in pipeline.bulk(files, function):
                out.write(batch)
    return out


def answered(batch: pa.Table) -> pa.Table:
    """A batch with what the models of all stages would answer."""
    model, questions = SyntheticModel(float(TEACHER)), batch["question"].to_pylist()
    thinking, attempts = zip(*map(model.solve, questions), strict=True)
    batch = with_column(batch, "thinking", list(thinking))
    batch = with_column(batch, "attempt", list(attempts))
    batch = with_column(batch, "domain", [domain(question) for question in questions])
    return with_column(batch, "trace_correct", [model.is_right(each) for each in questions])


def _timed(step: str, watch: MemoryWatch, work: Callable[[], Manifest | PartWriter]) -> StageTime:
    watch.take()
    began = time.perf_counter()
    made = work()
    seconds, megabytes = time.perf_counter() - began, watch.take()
    click.echo(
        f"{step:<14} {made.rows_in:>8} rows in {made.rows_out:>8} out "
        f"{seconds:7.1f} s {made.rows_in / seconds:9.0f} rows/s {megabytes:7.0f} MB"
    )
    return StageTime(step, made.rows_in, seconds, megabytes)


def goals(times: list[StageTime]) -> dict[str, GoalResult]:
    return {
        "seconds of all stages": at_most(sum(each.seconds for each in times), SECONDS),
        "largest memory, MB": at_most(max(each.megabytes for each in times), MEGABYTES),
    }


@click.command()
@click.option("--rows", type=click.IntRange(1000), default=ROWS, show_default=True)
@click.option("--in-process", is_flag=True, help="Without Ray.")
@click.option("--quick", is_flag=True, help=f"{QUICK_ROWS} rows.")
@click.option("--pure", is_flag=True, help="No stage asks a model.")
def main(rows: int, in_process: bool, quick: bool, pure: bool) -> None:
    """Rows a second of every stage of a curation, and its memory."""
    with TemporaryDirectory() as folder:
        settings = curation(Path(folder), QUICK_ROWS if quick else rows)
        watch = MemoryWatch()
        watch.start()
        try:
            times = run(settings, watch, on_ray=not in_process, pure=pure)
        finally:
            watch.stop()
    report(goals(times))


def _on_ray() -> AbstractContextManager[Mapper]:
    from training.curate.ray_bulk import joined

    return joined()


def _model(skill: str) -> Endpoint:
    return Endpoint(skill, prompt_price=0, completion_price=0)


def _write(path: Path, rows: Iterable[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


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
