"""kill -9 of a process that writes, at several moments: the ids are exact, each once."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from scheduler.store.copying import problems
from scheduler.store.outcome_store import OutcomeStore
from scheduler.store.sink import StoreSink
from scheduler.store.tables import OUTCOMES
from scheduler.store.writer import StoreWriter
from tests.scheduler.store.test_writer import config

WRITER = """
import asyncio, sys
from pathlib import Path
from scheduler.store.sink import StoreSink
from scheduler.store.writer import StoreWriter
from tests.scheduler.store.lines import outcome
from tests.scheduler.store.test_writer import config

async def main():
    first, seconds = int(sys.argv[2]), float(sys.argv[3])
    settings = config(Path(sys.argv[1]), 64)
    writer = StoreWriter(settings, StoreSink(settings))
    running = asyncio.create_task(writer.run())
    for number in range(first, first + 100_000):
        writer.put_outcome(outcome(str(number)), tenant="", request_id="")
        print(number, flush=True)
        await asyncio.sleep(seconds)

asyncio.run(main())
"""


def killed_after(folder: Path, count: int, first: int, seconds: float) -> int:
    """Run a writer until it has told of so many outcomes, kill it; the last that it told of."""
    command = [sys.executable, "-c", WRITER, str(folder), str(first), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                          cwd=Path(__file__).parents[3]) as process:  # fmt: skip
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(count)]
        os.kill(process.pid, signal.SIGKILL)
        return max([*told, *map(int, process.stdout.read().split())])


@pytest.mark.parametrize(("counts", "seconds"), [((3, 1500), 0.0), ((40,), 0.02)])
def test_every_outcome_that_was_put_is_stored_once(
    tmp_path: Path, counts: tuple[int, ...], seconds: float
) -> None:
    last = -1
    for count in counts:
        last = killed_after(tmp_path, count, last + 1, seconds)
    settings = config(tmp_path, 64)

    async def replay() -> None:
        writer = StoreWriter(settings, StoreSink(settings))
        running = asyncio.create_task(writer.run())
        while writer.counts.written + writer.counts.known == 0 or writer.counts.waiting_bytes:
            await asyncio.sleep(0.05)
        running.cancel()
        await writer.close()

    asyncio.run(replay())
    with OutcomeStore(settings.url or "") as store:
        with store.transaction() as connection:
            found = set(map(int, connection.scalars(select(OUTCOMES.c.id))))
            rows = connection.scalar(select(func.count()).select_from(OUTCOMES))
        # A put that the kill cut off before it was reported may be stored, too.
        assert found - {last + 1} == set(range(last + 1))
        assert rows == len(found)
        assert problems(store) == []
    assert [*(tmp_path / "spool").iterdir()] == []
