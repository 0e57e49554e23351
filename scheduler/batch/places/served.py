"""Batches that come over HTTP, answered by the gateway's own controllers."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from scheduler.batch.asking import Answer, plain
from scheduler.batch.budget.steered import SteeredBudget
from scheduler.batch.durability.output import Output, fingerprint
from scheduler.batch.ended import JobEnded
from scheduler.batch.inputs.files import count_rows, read_rows
from scheduler.batch.inputs.row import Row
from scheduler.batch.job import AnsweredRow, BatchPass, Summary
from scheduler.batch.storage import locate
from scheduler.errors import InvalidRequest, RequestError

BUDGET = "budget_tokens"
TELL_SECONDS = 1.0


class ServedBatches:
    """`metadata.budget_tokens` of a batch is the budget of all its rows together."""

    def __init__(self, answer: Answer, *, concurrency: int = 16) -> None:
        self._answer, self._concurrency = answer, concurrency

    async def run(
        self,
        source: Path,
        out: Path,
        *,
        metadata: dict[str, str],
        seconds: float,
        tell: Callable[[int, int, int, int], bool],
    ) -> tuple[Path | None, Path | None]:
        """As `BatchRunner` says."""
        at, output = locate(str(source)), Output(locate(str(out)))
        try:
            total = count_rows(at)
            output.begin({"input_sha256": fingerprint(at)}, force=True)
        except ValueError as error:
            raise InvalidRequest(str(error).replace(str(source), "the file"), field=None) from None
        if total == 0:
            raise InvalidRequest("the file has no lines", field=None, code="empty_file")
        ask = plain(self._answer, {})
        if (budget := _budget(metadata)) is not None:
            left = max(1, budget - output.spent)
            rows = total - len(output.done)
            ask = SteeredBudget(self._answer, {}, tokens=left, rows=rows).ask
        loop = asyncio.get_running_loop()
        ends, told = loop.time() + seconds, 0.0
        before, goes_on = len(output.done), True

        def say(summary: Summary) -> None:
            nonlocal told, goes_on
            if loop.time() - told >= TELL_SECONDS:
                told = loop.time()
                tokens = output.spent + summary.tokens
                goes_on = tell(total, before + summary.answered, summary.failed, tokens)

        class Bar:
            def advance(self, note: str = "") -> None:
                say(one.summary)

        def keep(row: Row, answered: AnsweredRow) -> None:
            output.answer(row.custom_id, answered.line)

        one = BatchPass(
            read_rows(at),
            output,
            ask,
            keep,
            done=output.done,
            concurrency=self._concurrency,
            progress=Bar(),
            is_over=lambda: not goes_on or loop.time() >= ends,
        )
        goes_on = tell(total, before, 0, output.spent)
        try:
            summary = await one.run()
            output.publish()
        except JobEnded as ended:
            # What is answered stays, and is the batch's output.
            summary = one.summary
            output.publish()
            if not summary.answered and not before:
                raise RequestError(str(ended), code="batch_ended") from None
        finally:
            output.close()
        tell(total, before + summary.answered, summary.failed, output.spent + summary.tokens)
        files = [Path(output.out.path), Path(output.errors.path)]
        Path(output.manifest.path).unlink(missing_ok=True)
        written = [path if path.exists() and path.stat().st_size else None for path in files]
        return written[0], written[1]


def _budget(metadata: dict[str, str]) -> int | None:
    text = metadata.get(BUDGET)
    if text is None:
        return None
    if not text.isdecimal() or not int(text[:18]) >= 1:
        why = f"metadata.{BUDGET} must be a positive number of tokens, got {text!r}"
        raise InvalidRequest(why, field=f"metadata.{BUDGET}")
    return int(text)
