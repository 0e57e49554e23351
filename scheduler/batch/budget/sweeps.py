"""One budget for a job that has the engines: passes over all rows at a falling price.

The idea is in policies/jobs/water_filling.py. The ledger of the controller is the hard cap: a chain
is begun when what it can cost at most fits into what is left, or when no other chain runs.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from policies.jobs.water_filling import (
    MOST_PASSES,
    FirstChains,
    can_hold,
    first_price,
    price_of,
    reserve,
)
from scheduler.batch.asking import output_line
from scheduler.batch.budget.goals import Goals
from scheduler.batch.budget.passes import PassLogs, chance_of, rows_of, standing
from scheduler.batch.budget.row_steps import RowSteps
from scheduler.batch.durability.ids import IdSet
from scheduler.batch.durability.output import Output
from scheduler.batch.ended import EXHAUSTED, JobEnded
from scheduler.batch.inputs.row import BadRow, Row
from scheduler.batch.job import AnsweredRow, Attempts, BatchPass, LeftOver, Summary
from scheduler.curves.wal import DurableCurveStore
from scheduler.errors import RequestError
from scheduler.progress import Progress
from scheduler.solving.controller import Controller

LEAST_TOKENS = 48
"""Below this nothing more is begun: an answer and its delimiters hardly fit."""
LEAST_OF_ROW = 8
"""No row can cost less."""
EMPTY_PASSES = 3
"""After so many passes in which no row goes on, none ever will."""


class Sweeps:
    """Answers `count` rows within the goals. `stop` ends it in good order."""

    def __init__(
        self,
        controller: Controller,
        output: Output,
        rows: Callable[[], Iterable[Row | BadRow]],
        count: int,
        goals: Goals,
        *,
        options: dict[str, Any],
        model: str,
        concurrency: int,
        bar: Callable[[str, int, int], AbstractContextManager[Progress]],
        attempts: Attempts | None = None,
    ) -> None:
        """`bar` shows the progress of one pass: its name, its rows, and how many are done."""
        self._controller, self._output, self._rows, self._count = controller, output, rows, count
        self._goals, self._steps = goals, RowSteps(controller, options, model)
        self._concurrency, self._bar = concurrency, bar
        self._attempts = attempts or Attempts()
        self._logs = PassLogs(output.out)
        self._chains = FirstChains()
        self._running: BatchPass | None = None
        self._stopping = False
        self._continued = self._answered = self._known = 0
        self._right, self._row_seconds = 0.0, 0.0
        self._began = 0.0
        self.passes = 0
        self.price = 0.0

    def stop(self) -> None:
        self._stopping = True
        if self._running is not None:
            self._running.stop()

    async def run(self) -> Summary:
        """Raises JobEnded where the budget cannot hold the rows; what is answered stays kept."""
        self._began = asyncio.get_running_loop().time()
        number = self._resume()
        first = float(self._output.state.get("first_price") or 0.0)
        self.price = first or first_price(self._goals.tokens, self._count)
        first = self.price
        self._output.write_state(first_price=first)
        summary = await self._first_pass() if number == 0 else self._resumed()
        if not summary.is_whole and not self._stopping and not self._goals.is_partial:
            raise self._unfinished(summary)
        number, empty = max(1, number), 0
        self.passes = 1
        while summary.is_whole and number <= MOST_PASSES and not self._is_over():
            self.price, self.passes, self._continued = price_of(first, number), number, 0
            later = await self._later_pass(number)
            summary.tokens += later.tokens
            summary.is_whole = later.is_whole or self._is_over()
            empty = 0 if self._continued else empty + 1
            if empty == EMPTY_PASSES or not later.is_whole:
                break
            number += 1
        if summary.is_whole or self._goals.is_partial and not self._stopping:
            self._publish()
        return summary

    @property
    def spent(self) -> int:
        return self._output.spent + self._controller.ledger.spent + self._before

    def _resume(self) -> int:
        """The pass to make, and what was spent before; the controller may spend the rest."""
        latest, self._before = self._logs.latest, 0
        begun = int(self._output.state.get("pass") or 0)
        number = max(begun, latest or 0)
        if latest is not None:
            known = standing(self._logs.newest(latest))
            self._before, self._answered = known.tokens, known.rows
            self._known, self._right = known.known, known.right
        if self._goals.tokens is not None:
            left = self._goals.tokens - self._output.spent - self._before
            self._controller.ledger.limit = max(0, left)
        return number

    def _resumed(self) -> Summary:
        """Of a first pass that an earlier run has made."""
        return Summary(skipped=self._answered + len(self._output.done), is_whole=True)

    async def _first_pass(self) -> Summary:
        log, ids = self._logs.log(0), IdSet()
        for row in rows_of(log.lines()):
            ids.add(row.custom_id)
        for done in self._output.answers.lines():
            ids.add(json.loads(done)["custom_id"])
        rows_left = self._count - len(ids)
        self._share = rows_left
        self._hold_back(rows_left)
        tokens = self._goals.tokens
        if tokens is not None and rows_left and not self._goals.is_partial:
            left = self._controller.ledger.limit or 0
            if left < LEAST_OF_ROW * rows_left:
                raise self._too_small(LEAST_OF_ROW * self._count, "at the very least")

        def keep(row: Row, answered: AnsweredRow) -> None:
            log.append(answered.line)
            ids.add(row.custom_id)
            self._hold_back(self._count - len(ids))

        async def ask(row: Row) -> AnsweredRow:
            answered, chain = await self._begin_row(row)
            self._chains = self._chains.after(chain)
            return answered

        try:
            return await self._pass(self._rows(), ask, keep, ids, self._attempts)
        finally:
            log.close()
            self._controller.ledger.kept = self._controller.ledger.kept_each = 0

    def _hold_back(self, rows_left: int) -> None:
        """Keep enough for one chain of every row that has none; end where that cannot be."""
        ledger = self._controller.ledger
        if ledger.limit is None:
            return
        left = ledger.limit - ledger.spent
        if not self._goals.is_partial and not can_hold(left, rows_left, self._chains):
            raise self._too_small_for(rows_left)
        ledger.kept = round(reserve(self._chains, max(0, rows_left), ledger.limit, self._share))
        ledger.kept_each = round(max(4 * self._chains.mean, ledger.limit / max(1, self._share)))

    def _unfinished(self, summary: Summary) -> JobEnded:
        left = self._count - self._answered - len(self._output.done) - summary.failed
        if (seconds := self._seconds_left()) is not None and seconds <= 0:
            return JobEnded(
                f"{self._goals.seconds:g} seconds are over with {left} rows to go; the same "
                "command goes on",
                EXHAUSTED,
            )
        if not self._chains.count:
            return self._too_small(LEAST_OF_ROW * self._count, "at the very least")
        return self._too_small_for(left)

    def _too_small_for(self, rows_left: int) -> JobEnded:
        """Rows may have taken more than a chain: more than the budget is needed in any case."""
        over = (self._goals.tokens or 0) + self._chains.mean
        needed = max(over, self.spent + self._chains.mean * rows_left)
        return self._too_small(needed, f"by the first {self._chains.count}")

    def _too_small(self, needed: float, why: str) -> JobEnded:
        return JobEnded(
            f"a budget of {self._goals.tokens} tokens cannot hold {self._count} rows; "
            f"about {needed:,.0f} would ({why}). Give more with --budget-tokens, or --partial to "
            "answer as many as it can",
            EXHAUSTED,
        )

    async def _begin_row(self, row: Row) -> tuple[AnsweredRow, int]:
        """The first answer of a row, and the tokens of its first chain."""
        try:
            ledger, rows = self._controller.ledger, self._count - self._answered
            explores = self._chains.bear_exploring(ledger.unspent, rows, ledger.queries + 1)
            step = await self._steps.begin(row, self.price, self._deadline(), explores=explores)
        except RequestError as error:
            late = self._goals.seconds is not None and error.code == "deadline_exceeded"
            poor = self._goals.tokens is not None and error.code == "budget_too_small"
            if late or poor:
                raise LeftOver from error
            raise
        self._count_chance(None, step.reply)
        self._answered += 1
        return AnsweredRow(step.line, step.tokens), step.first_tokens

    async def _later_pass(self, number: int) -> Summary:
        self._output.write_state(**{"pass": number, "price": self.price, "spent": self.spent})
        if isinstance(self._controller.curves, DurableCurveStore):
            self._controller.curves.reprice(self.price)
        before, log, ids = self._logs.log(number - 1), self._logs.log(number), IdSet()
        for row in rows_of(log.lines()):
            ids.add(row.custom_id)

        def keep(row: Row, answered: AnsweredRow) -> None:
            log.append(answered.line)

        try:
            # Each of these has an answer, whatever went wrong with it before.
            once = Attempts(in_run=1, over_runs=1000)
            return await self._pass(rows_of(before.lines()), self._go_on, keep, ids, once)
        finally:
            log.close()
            if self._is_whole_log(number):
                before.remove()

    def _is_whole_log(self, number: int) -> bool:
        return bool(self._running and self._running.summary.is_whole and number)

    async def _go_on(self, row: Row) -> AnsweredRow:
        if self._is_over():
            return AnsweredRow(json.dumps(row.kept), 0)
        step = await self._steps.go_on(row, price=self.price, limits=self._deadline())
        self._continued += step.tokens > 0
        if step.reply is not None:
            self._count_chance(row.kept["reply"], step.reply)
        return AnsweredRow(step.line, step.tokens)

    def _deadline(self) -> dict[str, Any]:
        left = self._seconds_left()
        return {} if left is None else {"deadline_seconds": min(86_400.0, max(0.001, left))}

    def _seconds_left(self) -> float | None:
        if self._goals.seconds is None:
            return None
        return self._began + self._goals.seconds - asyncio.get_running_loop().time()

    def _count_chance(self, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
        for reply, sign in ((before, -1), (after, 1)):
            if reply is not None and (chance := chance_of(reply)) is not None:
                self._known += sign
                self._right += sign * chance

    def _is_over(self) -> bool:
        """Whether a goal is met, or what it may take is used up."""
        left = self._seconds_left()
        if left is not None and left <= 0:
            return True
        ledger = self._controller.ledger
        if ledger.limit is not None and ledger.limit - ledger.spent < self._least:
            return True
        if self.passes == 0:
            return False
        aim = self._goals.accuracy
        return aim is not None and self._known > 0 and self._right / self._known >= aim

    async def _pass(
        self,
        rows: Iterable[Row | BadRow],
        ask: Callable[[Row], Any],
        keep: Callable[[Row, AnsweredRow], None],
        ids: IdSet,
        attempts: Attempts,
    ) -> Summary:
        with self._bar(f"batch, pass {self.passes}", self._count, len(ids)) as progress:
            self._running = BatchPass(
                rows,
                self._output,
                ask,
                keep,
                done=ids,
                concurrency=self._concurrency,
                progress=progress,
                attempts=attempts,
                note=self._note,
                is_over=self._is_over,
            )
            if self._stopping:
                self._running.stop()
            return await self._running.run()

    @property
    def _least(self) -> float:
        """Below so many tokens nothing is begun: a chain that is cut is worth little."""
        typical = self._chains.mean or self._before / max(1, self._answered)
        return LEAST_TOKENS if self.passes == 0 else max(LEAST_TOKENS, 2 * typical)

    def _note(self, summary: Summary) -> str:
        of = f" of {self._goals.tokens:,}" if self._goals.tokens is not None else ""
        accuracy = f", ~{self._right / self._known:.1%} right" if self._known else ""
        return f"spent {self.spent:,}{of} tokens{accuracy}"

    def _publish(self) -> None:
        latest = self._logs.latest
        if latest is not None:
            for line in self._logs.newest(latest):
                record = json.loads(line)
                if record["custom_id"] not in self._output.done:
                    answer = output_line(record["custom_id"], record["reply"])
                    self._output.answer(record["custom_id"], answer)

    def clean(self) -> None:
        """Once all is published."""
        self._logs.remove()
