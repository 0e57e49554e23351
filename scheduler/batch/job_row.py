"""A job's row in the store: how it stands, put as it begins, while it runs and when it ends."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from scheduler.batch.durability.output import Output
from scheduler.store.opening import storing
from scheduler.store.records import Recorder, job_record
from scheduler.store.settings import StoreConfig

ROW_SECONDS: Final = 15.0


class JobRow:
    """`spent` gives the tokens of this run so far. Without a `recorder` nothing is kept."""

    def __init__(
        self, recorder: Recorder | None, output: Output, rows: int, spent: Callable[[], int]
    ) -> None:
        self._recorder, self._output, self._rows, self._spent = recorder, output, rows, spent

    def put(self, state: str, **more: Any) -> None:
        """`state` is one of OpenAI's batches."""
        if self._recorder is None:
            return
        output = self._output
        counts = {
            "total": self._rows,
            "completed": len(output.done),
            "failed": output.failing,
            "tokens": output.spent + self._spent(),
        }
        row = job_record(
            row_id(output),
            state,
            begun=float(output.state.get("began", 0.0)),
            **counts | more,
            input=output.state.get("input"),
            output=str(output.out),
        )
        self._recorder.put(row)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """The row says that the job runs, and how far it is, until the block ends."""
        if self._recorder is None:
            yield
            return

        async def keep() -> None:
            while True:
                self.put("in_progress")
                await asyncio.sleep(ROW_SECONDS)

        keeping = asyncio.create_task(keep())
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping


def row_id(output: Output) -> str:
    """The same in every run of a job: by where it writes and when it was begun."""
    named = f"{output.out}\0{output.state.get('began')}"
    return f"batch-{hashlib.sha256(named.encode()).hexdigest()[:16]}"


@asynccontextmanager
async def recording(own: Any, config: StoreConfig) -> AsyncIterator[Recorder | None]:
    """Where rows go: to the writer that a controller has, else to one of the job's own."""
    if own is not None:
        yield own
        return
    async with storing(config) as writer:
        yield writer
