"""A whole job, from its settings to its published files, wherever it is answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from policies.jobs.water_filling import next_gain
from scheduler.batch.asking import Answer, plain
from scheduler.batch.budget.bill import Bill
from scheduler.batch.budget.goals import Goals
from scheduler.batch.budget.steered import SteeredBudget
from scheduler.batch.budget.sweeps import Sweeps
from scheduler.batch.durability.output import Output, fingerprint
from scheduler.batch.ended import EXHAUSTED, JobEnded
from scheduler.batch.inputs.columns import Columns
from scheduler.batch.inputs.files import count_rows, read_rows
from scheduler.batch.inputs.row import BadRow, Row
from scheduler.batch.job import AnsweredRow, Attempts, BatchPass, Summary, progress_state
from scheduler.batch.job_row import JobRow, recording
from scheduler.batch.places.default_model import with_model
from scheduler.batch.storage import Location
from scheduler.client.local import answering, local_controller
from scheduler.config import ServeConfig
from scheduler.progress import Progress
from scheduler.solving.controller import Controller
from scheduler.store.settings import StoreConfig
from workers.engine import Engine

Bar = Callable[[str, int, int], AbstractContextManager[Progress]]
# Which settings make another job of it, by their place in the configuration.
_OF_JOB = ("engine", "policy", "price", "answer_tokens", "classes", "answers")
Engines = Callable[[ServeConfig], AbstractContextManager[Engine]]


@dataclass(frozen=True, slots=True)
class JobSettings:
    """`where` is settings of engines of its own, or the address of an endpoint.

    `engines` starts the engines elsewhere, as on a cluster; None: in this process. `options` are
    fields of the `thinkbudget` object of every row that does not have them.
    """

    source: Location
    out: Location
    where: ServeConfig | str
    goals: Goals = Goals()
    options: dict[str, Any] = field(default_factory=dict)
    columns: Columns = Columns()
    concurrency: int = 16
    attempts: Attempts = Attempts()
    api_key: str | None = None
    engines: Engines | None = None
    is_strict: bool = False
    #: Keeps the job's row where the rows are answered by an endpoint.
    store: StoreConfig = StoreConfig()


@dataclass(frozen=True, slots=True)
class JobReport:
    """What came of a run. `tokens` are those of the whole job, `price` that of the last pass."""

    summary: Summary
    bill: Bill
    tokens: int
    price: float | None = None


@asynccontextmanager
async def place(settings: JobSettings) -> AsyncIterator[tuple[Answer, Controller | None]]:
    """What answers the rows of a job; the controller too where the job has the engines."""
    where, key = settings.where, settings.api_key
    if isinstance(where, str):
        async with answering(where, api_key=key) as answer:
            yield with_model(answer, where, api_key=key), None
        return
    from scheduler.api.chat import complete

    engines = settings.engines
    with engines(where) if engines else nullcontext() as engine:
        async with local_controller(where, engine=engine) as controller:
            yield with_model(partial(complete, controller), where), controller


class Job:
    """`begin` reads what is there, `run` does the rest. `stop` lets a run end in good order."""

    def __init__(self, settings: JobSettings, bar: Bar) -> None:
        self._settings, self._bar = settings, bar
        self.output = Output(settings.out)
        self._count = 0
        self._stop: Callable[[], None] | None = None
        self.is_stopping = False

    def begin(self, *, force: bool = False) -> None:
        """Raises ResumeRefused for another job's output, ValueError for files it cannot use."""
        settings = self._settings
        try:
            self._count = count_rows(settings.source, settings.columns)
            job = {"input_sha256": fingerprint(settings.source), **_fingerprint(settings)}
        except OSError as error:
            raise ValueError(f"{settings.source} cannot be read: {error}") from None
        if settings.out.path == settings.source.path:
            raise ValueError(f"{settings.out} is the input; choose another output file")
        self.output.begin(job, force=force)
        self.output.write_state(input=str(settings.source), rows=self._count, **_aims(settings))

    async def run(self) -> JobReport:
        """Raises JobEnded when the job cannot come to its end now; it can be gone on with."""
        settings, price = self._settings, None
        status = "interrupted"
        try:
            async with place(settings) as (answer, controller), self._row(controller) as row:
                sweeps = self._sweeps(controller)
                if sweeps is not None:
                    self._stop = sweeps.stop
                    summary = await sweeps.run()
                    price = sweeps.price
                else:
                    summary = await self._one_pass(answer, controller)
                is_done = summary.is_whole or (settings.goals.is_partial and not self.is_stopping)
                bill, tokens = self._bill() if is_done else (Bill(), self.output.spent)
                if is_done:
                    rest = {"bill": bill.as_dict(), "failed": summary.failed, "spent": tokens}
                    self.output.publish(**progress_state(summary) | rest)
                    status = "finished"
                    row.put("completed", tokens=tokens, failed=summary.failed, bill=bill.as_dict())
            if is_done and sweeps is not None:
                sweeps.clean()
            return JobReport(summary, bill, tokens, price)
        finally:
            self._close(status)

    @asynccontextmanager
    async def _row(self, controller: Controller | None) -> AsyncIterator[JobRow]:
        """The job's row in the store; one that does not come to its end can be gone on with."""
        own = controller.store if controller else None
        began = controller.ledger.spent if controller else 0

        def spent() -> int:
            return controller.ledger.spent - began if controller else 0

        async with recording(own, self._settings.store) as recorder:
            row = JobRow(recorder, self.output, self._count, spent)
            state = "cancelled"
            try:
                async with row.kept():
                    yield row
                state = "" if self.output.state.get("status") == "finished" else state
            except JobEnded as ended:
                state = "expired" if ended.exit_code == EXHAUSTED else "failed"
                raise
            finally:
                if state:
                    row.put(state)

    def stop(self) -> None:
        self.is_stopping = True
        if self._stop is not None:
            self._stop()

    def _close(self, status: str) -> None:
        try:
            self.output.close()
            if status != "finished":
                self.output.write_state(status=status)
        except OSError:
            return  # the disk is full: what is there can be gone on with

    def _rows(self) -> Iterable[Row | BadRow]:
        for row in read_rows(self._settings.source, self._settings.columns):
            if isinstance(row, BadRow) and self._settings.is_strict:
                raise JobEnded(f"row {row.number}: {row.error.message}")
            yield row

    def _sweeps(self, controller: Controller | None) -> Sweeps | None:
        """Where the job has the engines, and a policy that spends by price."""
        goals, settings = self._settings.goals, self._settings
        if controller is None or not goals or not controller.policy.options.spends_by_price:
            return None
        return Sweeps(
            controller,
            self.output,
            self._rows,
            self._count,
            goals,
            options=settings.options,
            model=controller.info.model,
            concurrency=settings.concurrency,
            bar=self._bar,
            attempts=settings.attempts,
        )

    async def _one_pass(self, answer: Answer, controller: Controller | None) -> Summary:
        settings, goals, output = self._settings, self._settings.goals, self.output
        began, rows_left = asyncio.get_running_loop().time(), self._count - len(output.done)

        def seconds_left() -> float | None:
            if goals.seconds is None:
                return None
            return began + goals.seconds - asyncio.get_running_loop().time()

        def is_over() -> bool:
            left = seconds_left()
            return left is not None and left <= 0

        ask = plain(answer, settings.options)
        if goals:
            tokens = None if goals.tokens is None else goals.tokens - output.spent
            if tokens is not None and rows_left and tokens < 1:
                raise JobEnded(
                    f"the budget of {goals.tokens} tokens is spent ({output.spent}), with "
                    f"{rows_left} rows to go",
                    EXHAUSTED,
                )
            ask = SteeredBudget(
                answer,
                settings.options,
                tokens=tokens,
                rows=rows_left,
                seconds_left=seconds_left,
                accuracy=goals.accuracy,
            ).ask

        def keep(row: Row, answered: AnsweredRow) -> None:
            output.answer(row.custom_id, answered.line)

        def note(summary: Summary) -> str:
            of = f" of {goals.tokens:,}" if goals.tokens is not None else ""
            return f"spent {output.spent + summary.tokens:,}{of} tokens"

        with self._bar("batch", self._count, len(output.done)) as progress:
            one = BatchPass(
                self._rows(),
                output,
                ask,
                keep,
                done=output.done,
                concurrency=settings.concurrency,
                progress=progress,
                attempts=settings.attempts,
                note=note,
                is_over=is_over,
            )
            self._stop = one.stop
            if self.is_stopping:
                one.stop()
            try:
                summary = await one.run()
            except JobEnded as ended:
                if not (goals.is_partial and ended.exit_code == EXHAUSTED):
                    raise
                summary = one.summary
        if is_over() and not summary.is_whole and not goals.is_partial:
            raise JobEnded(
                f"{goals.seconds:g} seconds are over with rows to go; the same command goes on",
                EXHAUSTED,
            )
        return summary

    def _bill(self) -> tuple[Bill, int]:
        """Of every row that is answered, those of earlier runs included."""
        bill = Bill()
        for line in self.output.answers.lines():
            bill.add(json.loads(line)["response"]["body"])
        return bill, bill.total.tokens


def bill_lines(report: JobReport, goals: Goals) -> list[str]:
    """The bill, and what the next tenth of the tokens would buy."""
    lines = report.bill.lines() if report.bill.rows else []
    rows = report.bill.total.queries
    if report.price is not None and rows:
        more = max(1, report.tokens // 10)
        points = min(100.0, 100 * next_gain(report.price, more) / rows)
        lines.append(f"the next 10 % of tokens ({more:,}) would buy at most {points:.1f} points")
    return lines


def _fingerprint(settings: JobSettings) -> dict[str, Any]:
    """All that makes another job of it. Goals do not: more of a budget may be given later."""
    where = settings.where
    if isinstance(where, str):
        return {"url": where, **settings.options}
    whole = asdict(where)
    return {name: whole[name] for name in _OF_JOB} | settings.options


def _aims(settings: JobSettings) -> dict[str, Any]:
    goals = settings.goals
    aims = {
        "budget_tokens": goals.tokens,
        "target_accuracy": goals.accuracy,
        "max_seconds": goals.seconds,
    }
    return {name: value for name, value in aims.items() if value is not None}
