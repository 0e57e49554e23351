"""One pass over the rows of a job: at most so many are asked at a time, and each is kept at once.

Whatever is wrong with a row is an error of that row alone. What no row can be answered with ends
the pass: a key that is refused, an endpoint that is gone, a file that is full.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from scheduler.batch.durability.ids import IdSet
from scheduler.batch.durability.output import Output
from scheduler.batch.ended import EXHAUSTED, UNREACHABLE, JobEnded
from scheduler.batch.inputs.row import BadRow, Row
from scheduler.errors import InvalidRequest, RequestError
from scheduler.progress import Progress

STATE_SECONDS = 5.0
MOST_SET_ASIDE = 1000
"""Rows of which engines have died, that are tried once more, alone, at the end of a pass."""
# An engine died, or none was left, while a row of these was running.
_SUSPECT = ("poison_request", "engine_unavailable")


class LeftOver(Exception):
    """A row has no answer, and is no failure: another run will ask it."""


class AnsweredRow(NamedTuple):
    """What a pass keeps of a row: a line of JSON, and what the row has cost in this pass."""

    line: str
    tokens: int


Ask = Callable[[Row], Awaitable[AnsweredRow]]
Keep = Callable[[Row, AnsweredRow], None]


@dataclass(slots=True)
class Summary:
    """`skipped` were answered by an earlier run; `errors` counts failures by code."""

    answered: int = 0
    failed: int = 0
    skipped: int = 0
    tokens: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    #: Whether the pass has gone to its end.
    is_whole: bool = False


class Attempts(NamedTuple):
    """How often a row is tried: in one run after errors that pass, and over all runs."""

    in_run: int = 5
    over_runs: int = 5
    #: Whether rows that failed in an earlier run are tried again.
    again: bool = True
    backoff_seconds: float = 0.5


class BatchPass:
    """Asks every row that `done` does not have. `keep` is called with each answer.

    `stop` ends it in good order: what runs is finished, nothing new begins.
    """

    def __init__(
        self,
        rows: Iterable[Row | BadRow],
        output: Output,
        ask: Ask,
        keep: Keep,
        *,
        done: IdSet,
        concurrency: int,
        progress: Progress,
        attempts: Attempts | None = None,
        note: Callable[[Summary], str] = lambda summary: f"{summary.tokens} tokens",
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._rows, self._output, self._ask, self._keep = rows, output, ask, keep
        self._done, self._progress, self._note = done, progress, note
        self._attempts = attempts or Attempts()
        self._is_over = is_over
        self._gate = asyncio.Semaphore(concurrency)
        self._seen = IdSet()
        self._aside: list[Row] = []
        self._stopping = self._is_left_over = False
        self._written = 0.0
        self.summary = Summary()

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> Summary:
        """Raises JobEnded when no row can be answered any more; what is kept stays kept."""
        try:
            async with asyncio.TaskGroup() as group:
                for row in self._rows:
                    if self._is_ending() or not await self._begin(group, row):
                        break
                else:
                    self.summary.is_whole = True
            for row in self._aside:
                if self._stopping:
                    self.summary.is_whole = False
                    break
                await self._answer(row, alone=True)
            self.summary.is_whole &= not self._is_left_over
        except* (JobEnded, OSError) as ended:
            self.summary.is_whole = False
            first = next(iter(_leaves(ended)))
            if isinstance(first, JobEnded):
                raise first from None
            raise JobEnded(f"a file cannot be used: {first}", EXHAUSTED) from None
        return self.summary

    def _is_ending(self) -> bool:
        return self._stopping or self._is_over()

    async def _begin(self, group: asyncio.TaskGroup, row: Row | BadRow) -> bool:
        """False where the pass ends before this row is asked."""
        if isinstance(row, BadRow):
            self._fail(row.custom_id, row.number, row.error)
            return True
        if not self._seen.add(row.custom_id):
            message = f"custom_id {row.custom_id!r} came up before"
            error = InvalidRequest(message, field="custom_id", code="duplicate_id")
            self._fail(row.custom_id, row.number, error)
            return True
        if row.custom_id in self._done:
            self.summary.skipped += 1
            return True
        tried = self._output.attempts(row.number)
        if tried and (not self._attempts.again or tried >= self._attempts.over_runs):
            self._output.give_up(row.number)
            self.summary.failed += 1
            self.summary.errors["given_up"] += 1
            return True
        await self._gate.acquire()
        if self._is_ending():
            self._gate.release()
            return False
        group.create_task(self._in_turn(row))
        return True

    async def _in_turn(self, row: Row) -> None:
        try:
            await self._answer(row)
        finally:
            self._gate.release()

    async def _answer(self, row: Row, *, alone: bool = False) -> None:
        try:
            answered = await self._ask_again(row)
        except RequestError as error:
            self._refuse_all(error)
            if error.code in _SUSPECT and not alone and len(self._aside) < MOST_SET_ASIDE:
                self._aside.append(row)
            else:
                self._fail(row.custom_id, row.number, error)
        except LeftOver:
            self._is_left_over = True
        except (JobEnded, OSError):
            raise
        except Exception as error:  # one bad row never ends a job
            message = f"{type(error).__name__}: {error}"
            self._fail(row.custom_id, row.number, RequestError(message[:1000], code="failed"))
        else:
            self._keep(row, answered)
            self.summary.answered += 1
            self.summary.tokens += answered.tokens
            self._advance()

    async def _ask_again(self, row: Row) -> AnsweredRow:
        """After errors that pass, with longer and longer pauses. The HTTP client does it itself."""
        for attempt in range(self._attempts.in_run):
            try:
                return await self._ask(row)
            except RequestError as error:
                is_last = attempt == self._attempts.in_run - 1
                if is_last or error.status not in (429, 503) or error.code == "unreachable":
                    raise
                wait = float(error.headers.get("Retry-After", 0)) if error.headers else 0.0
            await asyncio.sleep(max(wait, self._attempts.backoff_seconds * 2**attempt))
        raise AssertionError("the loop returns or raises")

    def _refuse_all(self, error: RequestError) -> None:
        """Raise JobEnded for an error that every other row would meet as well."""
        if error.code == "unreachable":
            raise JobEnded(error.message, UNREACHABLE) from error
        is_first = self.summary.answered == 0
        no_model = error.code == "model_not_found" and not is_first
        if error.status in (401, 403) or (error.status == 404 and not no_model):
            raise JobEnded(f"the endpoint refuses this job: {error.message}", UNREACHABLE)
        if error.code == "insufficient_quota":
            raise JobEnded(f"a quota is used up: {error.message}", EXHAUSTED)

    def _fail(self, custom_id: str | None, number: int, error: RequestError) -> None:
        self._output.fail(custom_id, number, error)
        self.summary.failed += 1
        self.summary.errors[error.code] += 1
        self._advance()

    def _advance(self) -> None:
        failed = f", {self.summary.failed} failed" if self.summary.failed else ""
        self._progress.advance(self._note(self.summary) + failed)
        now = asyncio.get_running_loop().time()
        if now - self._written >= STATE_SECONDS:
            self._written = now
            self._output.write_state(**progress_state(self.summary))


def progress_state(summary: Summary) -> dict[str, object]:
    return {
        "answered": summary.answered,
        "failed": summary.failed,
        "skipped": summary.skipped,
        "tokens": summary.tokens,
        "errors": dict(summary.errors),
    }


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each
