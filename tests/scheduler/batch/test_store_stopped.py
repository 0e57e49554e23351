"""PostgreSQL is stopped under a running job: no row notices, and every outcome is in it once."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.serving.postgres import PostgresServer, missing, postgres
from scheduler.batch.run import Job
from scheduler.store.copying import problems
from scheduler.store.outcome_store import OutcomeStore
from scheduler.store.queries import find, jobs
from scheduler.store.settings import StoreConfig
from tests.scheduler.batch.jobs import FIXED, Steps, answered, ids, job, line, write

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

ROWS = 600


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres() as running:
        yield running


async def until(steps: Steps, count: int) -> None:
    while steps.count < count:
        await asyncio.sleep(0.01)


def job_of(source: Path, url: str, steps: Steps) -> Job:
    store = StoreConfig(url=url, spool=str(source.parent / "spool"), texts=True)
    one = job(source, steps=steps, where=replace(FIXED, store=store), concurrency=8)
    one.begin()
    return one


def in_order(folder: Path, url: str, rows: int) -> None:
    """Every row is answered once, and every answer is in the store once, with its tokens."""
    assert sorted(map(int, ids(folder))) == list(range(rows))
    spent = {
        each["custom_id"]: each["response"]["body"]["usage"]["completion_tokens"]
        for each in answered(folder)
    }
    with OutcomeStore(url, reads=True) as store:
        with store.transaction() as connection:
            outcomes, (row,) = list(find(connection)), jobs(connection)
        assert problems(store) == []
    kept = {each["question"].split()[-1]: each["tokens"]["total"] for each in outcomes}
    assert len(outcomes) == rows and json.dumps(kept, sort_keys=True) == json.dumps(
        spent, sort_keys=True
    )
    assert (row["state"], row["completed"]) == ("completed", rows)
    assert row["tokens"] == sum(spent.values())


def test_a_store_that_stops_and_comes_back_costs_nothing(
    tmp_path: Path, server: PostgresServer
) -> None:
    source, steps = write(tmp_path, *(line(str(number)) for number in range(ROWS))), Steps()
    url = server.create("comes_back")
    one = job_of(source, url, steps)

    async def main() -> None:
        running = asyncio.create_task(one.run())
        await until(steps, ROWS // 4)
        await asyncio.to_thread(server.stop)
        await until(steps, ROWS // 2)  # rows are answered while it is away
        await asyncio.to_thread(server.start)
        report = await running
        assert (report.summary.answered, report.summary.failed) == (ROWS, 0)

    asyncio.run(asyncio.wait_for(main(), 120))
    in_order(tmp_path, url, ROWS)


def test_what_a_store_has_not_taken_is_brought_by_the_same_command(
    tmp_path: Path, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.store.opening.LAST_SECONDS", 0.5)
    rows = ROWS // 4
    source, steps = write(tmp_path, *(line(str(number)) for number in range(rows))), Steps()
    url = server.create("stays_away")
    one = job_of(source, url, steps)

    async def main() -> None:
        running = asyncio.create_task(one.run())
        await until(steps, rows // 4)
        await asyncio.to_thread(server.stop)
        report = await running
        assert (report.summary.answered, report.summary.failed) == (rows, 0)

    asyncio.run(asyncio.wait_for(main(), 120))
    assert sorted(map(int, ids(tmp_path))) == list(range(rows))
    server.start()
    monkeypatch.setattr("scheduler.store.opening.LAST_SECONDS", 30.0)
    again = job_of(source, url, Steps())
    asyncio.run(asyncio.wait_for(again.run(), 120))
    in_order(tmp_path, url, rows)
