"""Runs the cells of an experiment: on engines that cost nothing in processes, each cell alone and
on virtual time; on all others one after another in this process. Then what has a judge is judged.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache, partial
from pathlib import Path

from scheduler.config import EngineConfig
from scheduler.engines.factory import make_engine
from scheduler.experiments import asking
from scheduler.experiments.cell_run import Advance, complete, in_order, partial_rows, run_cell
from scheduler.experiments.cells import ExperimentCell
from scheduler.experiments.grading import Judge, RecordedGrader
from scheduler.experiments.llm_judge import UNJUDGED, judge_of
from scheduler.experiments.prepare import VIRTUAL, Prepared
from scheduler.experiments.results import ResultRow, read_cell
from scheduler.experiments.settings import AskedEngine, CompletionsConfig, EndpointConfig
from scheduler.progress import Progress
from workers.answers.grader import Grader
from workers.answers.math_pool import MathPool
from workers.engine import Engine
from workers.replayed import ReplayedEngine
from workers.simulated.clock import run_virtual

Spread = Callable[[Prepared, Sequence[ExperimentCell], Path], Iterator[ExperimentCell]]
"""Runs cells that cost nothing, in any order; gives each when its files are in the folder."""
ALONE = 2000
"""Up to so many questions it takes longer to start processes than to ask."""


def missing(prepared: Prepared, folder: Path) -> list[ExperimentCell]:
    """The cells that are not complete yet."""
    return [cell for cell in prepared.cells if not cell.path(folder).is_file()]


def run(
    prepared: Prepared,
    todo: Sequence[ExperimentCell],
    folder: Path,
    progress: Progress,
    *,
    processes: int | None = None,
    spread: Spread | None = None,
) -> None:
    """Run these cells; what is there of a live cell is kept, and gone on with.

    `processes` of None is one a core. `spread` runs cells that cost nothing somewhere else. Raises
    RequestError, or whatever an engine raises.
    """
    engines = prepared.config.named_engines
    asked = [cell for cell in todo if _unjudged(cell, folder).is_file()]
    for cell in asked:
        for _ in prepared.asked(cell):
            progress.advance(cell.name)
    todo = [cell for cell in todo if cell not in asked]
    virtual = [cell for cell in todo if engines[cell.engine].kind in VIRTUAL]
    questions = sum(len(prepared.asked(cell)) for cell in virtual)
    most = min(processes or (1 if questions <= ALONE else os.cpu_count() or 1), len(virtual))
    if spread is None and most > 1:
        spread = partial(_side_by_side, processes=most)
    if spread is not None and virtual:
        for cell in spread(prepared, virtual, folder):
            for _ in prepared.asked(cell):
                progress.advance(cell.name)
    else:
        bases = CellBases(prepared)
        for cell in virtual:
            run_alone(bases, cell, folder, progress.advance)
    for label, engine in engines.items():
        live = [cell for cell in todo if cell.engine == label and engine.kind not in VIRTUAL]
        if live:
            asyncio.run(_live(prepared, live, folder, progress.advance))
    asyncio.run(_judge(prepared, folder))


def run_alone(
    bases: "CellBases", cell: ExperimentCell, folder: Path, advance: Advance = lambda _: None
) -> None:
    """One cell of an engine that costs nothing; its files are in the folder when this returns."""
    run_virtual(_virtual(bases, cell, folder, advance))


def asked_path(prepared: Prepared, cell: ExperimentCell, folder: Path) -> Path:
    """Where the rows of a cell go when all were asked."""
    has_judge = prepared.judge_of(cell) is not None
    return _unjudged(cell, folder) if has_judge else cell.path(folder)


def _unjudged(cell: ExperimentCell, folder: Path) -> Path:
    return cell.path(folder).with_suffix(UNJUDGED)


async def _judge(prepared: Prepared, folder: Path) -> None:
    """Grade what was asked of sets that have a judge; the cells are complete after that."""
    waiting: dict[str, list[ExperimentCell]] = {}
    for cell in prepared.cells:
        if _unjudged(cell, folder).is_file():
            waiting.setdefault(cell.questions, []).append(cell)
    for label, cells in waiting.items():
        config = prepared.judge_of(cells[0])
        assert config is not None
        async with judge_of(config, label, folder) as judge:
            for cell in cells:
                path = _unjudged(cell, folder)
                rows = await judge.judged(read_cell(path), prepared.asked(cell))
                complete(cell.path(folder), rows)
                path.unlink()


class CellBases:
    """What the cells of one process share: engines to copy, and grades."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.judges: dict[tuple[str, str], tuple[Grader, Judge]] = {}
        self.replayed = cache(self._replayed)

    def engine(self, cell: ExperimentCell) -> Engine:
        engine = self.prepared.config.named_engines[cell.engine]
        assert isinstance(engine, EngineConfig)
        if engine.kind == "replayed":
            return self.replayed(cell.engine).shuffled(cell.seed)
        return make_engine(engine, laws=self.prepared.laws.get(cell.engine))

    def _replayed(self, label: str) -> ReplayedEngine:
        return ReplayedEngine(self.prepared.recorded[label], model=label)

    def judge(self, cell: ExperimentCell) -> tuple[Grader, Judge]:
        key = (cell.engine, cell.questions)
        if key not in self.judges:
            grader = RecordedGrader(self.prepared.known.get(cell.engine, {}))
            self.judges[key] = grader, Judge(grader)
        return self.judges[key]


async def _virtual(base: CellBases, cell: ExperimentCell, folder: Path, advance: Advance) -> None:
    config, engine = base.prepared.config, base.engine(cell)
    grader, judge = base.judge(cell)
    path = cell.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    curves = path.with_suffix(".curves.json")
    async with asking.local(
        config,
        cell,
        engine,
        grader,
        judge,
        curves_at=curves,
        is_live=False,
        keeps_outcomes=bool(config.outcomes),
        done=[],
    ) as ask:
        rows = await run_cell(
            in_order(cell, base.prepared.asked(cell), config.labelled),
            ask,
            path,
            concurrency=config.concurrency,
            keeps_outcomes=bool(config.outcomes),
            done=[],
            advance=advance,
        )
    complete(asked_path(base.prepared, cell, folder), rows)
    await engine.close()


async def _live(
    prepared: Prepared, cells: Sequence[ExperimentCell], folder: Path, advance: Advance
) -> None:
    config = prepared.config
    asked_engine = config.named_engines[cells[0].engine]
    engine = await _engine(asked_engine)
    keeps = (engine is not None) if config.outcomes is None else config.outcomes
    try:
        async with MathPool() as pool:
            grader = Grader(pool)
            judges = {name: Judge(grader) for name in {cell.questions for cell in cells}}
            for cell in cells:
                path, judge = cell.path(folder), judges[cell.questions]
                path.parent.mkdir(parents=True, exist_ok=True)
                done = partial_rows(path)
                for _ in done:
                    advance(cell.name)
                if engine is not None:
                    asking_cell = asking.local(
                        config,
                        cell,
                        engine,
                        grader,
                        judge,
                        curves_at=_curves_of(path, done),
                        is_live=True,
                        keeps_outcomes=keeps,
                        done=done,
                    )
                else:
                    assert isinstance(asked_engine, EndpointConfig)
                    asking_cell = asking.endpoint(
                        config, cell, asked_engine, judge, keeps_outcomes=keeps
                    )
                async with asking_cell as ask:
                    rows = await run_cell(
                        in_order(cell, prepared.asked(cell), config.labelled),
                        ask,
                        path,
                        concurrency=config.concurrency,
                        keeps_outcomes=keeps,
                        done=done,
                        advance=advance,
                    )
                complete(asked_path(prepared, cell, folder), rows)
    finally:
        if engine is not None:
            await engine.close()


async def _engine(config: AskedEngine) -> Engine | None:
    """What runs chains, or lets a server run them. None: policies run at the endpoint, too."""
    if isinstance(config, EndpointConfig):
        return None
    if isinstance(config, CompletionsConfig):
        from scheduler.experiments.completions_engine import completions_engine

        return await completions_engine(config)
    return make_engine(config)


def _curves_of(path: Path, done: Sequence[ResultRow]) -> Path:
    """Of a cell that begins, whatever was learned before its first row is dropped."""
    curves = path.with_suffix(".curves.json")
    if not done:
        curves.unlink(missing_ok=True)
        curves.with_name(curves.name + ".log").unlink(missing_ok=True)
    return curves


def _side_by_side(
    prepared: Prepared, cells: Sequence[ExperimentCell], folder: Path, *, processes: int
) -> Iterator[ExperimentCell]:
    """Cells as they are completed. A cell that fails ends them all."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_start, initargs=(prepared,)
    ) as pool:
        try:
            # The slowest policies, those that learn, tend to stand last: begin with them.
            running = {pool.submit(_in_process, cell, folder): cell for cell in reversed(cells)}
            for future in as_completed(running):
                future.result()
                yield running[future]
        except BaseException:
            for child in multiprocessing.active_children():
                child.kill()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_base: CellBases | None = None


def _start(prepared: Prepared) -> None:
    """In a process of the pool: it ends with the one that started it, however that ends."""
    global _base
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _base = CellBases(prepared)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _in_process(cell: ExperimentCell, folder: Path) -> None:
    assert _base is not None
    run_alone(_base, cell, folder)
