"""Requests never notice the store: a server whose store is stopped answers all the same."""

import asyncio
from contextlib import suppress
from pathlib import Path

from policies.base import Limits
from scheduler.client.local import local_controller
from scheduler.startup import settings
from scheduler.store.outcome_store import OutcomeStore
from scheduler.store.queries import by_id, find, newest_curve
from scheduler.store.writer import StoreWriter
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller, make_query
from tests.scheduler.store.test_writer import MemoryStore, config


async def test_a_store_stopped_for_a_minute_costs_no_request_and_no_outcome(
    tmp_path: Path,
) -> None:
    store, controller = MemoryStore(), await make_controller()
    writer = controller.store = StoreWriter(config(tmp_path, 64), store)
    running = asyncio.create_task(writer.run())
    clock = asyncio.get_running_loop().time
    replies = []
    async with client_of(controller) as client:
        began = clock()

        async def ask(number: int) -> None:
            await asyncio.sleep(number)
            store.is_away = 15 <= clock() - began < 75
            replies.append(await client.post(CHAT, json=chat(f"easy question {number}")))

        await asyncio.gather(*(ask(number) for number in range(90)))
        while writer.counts.waiting:
            await asyncio.sleep(1)
        first = replies[0].json()["thinkbudget"]["outcome_id"]
        label = {"outcome_id": first, "reward": 1.0, "source": "test"}
        assert (await client.post("/v1/feedback", json=label)).status_code == 200
        await writer.flush(10)
        metrics = (await client.get("/metrics")).text
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert {reply.status_code for reply in replies} == {200}
    labels = [record for record in store.kept.values() if record.get("kind") == "feedback"]
    assert len(store.kept) == 90
    assert labels == []  # it has its outcome's id, which this store knows already
    for line in (
        'thinkbudget_store_records_total{kind="spooled"} 91.0',
        'thinkbudget_store_records_total{kind="written"} 90.0',
        'thinkbudget_store_records_total{kind="known"} 1.0',
        'thinkbudget_store_records_total{kind="dropped"} 0.0',
        "thinkbudget_store_queue_depth 0.0",
    ):
        assert line in metrics
    await writer.close()


def test_a_controller_in_this_process_keeps_its_outcomes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    table = {
        "engine": {"kind": "simulated", "model": "simulated"},
        "store": {"url": url, "texts": True},
    }

    async def main() -> None:
        async with local_controller(settings(table)) as controller:
            for number in range(3):
                query = make_query(id=f"q{number}", limits=Limits(max_total_tokens=4000))
                await controller.answer(query)

    asyncio.run(main())
    with OutcomeStore(url, reads=True) as store, store.transaction() as connection:
        assert [line["id"] for line in find(connection)] == ["q0", "q1", "q2"]
        line = by_id(connection, "q1")
        assert line["question"] == "easy question"
        assert newest_curve(connection, line["model"], line["class"]) is not None
    assert [*(tmp_path / "s.db.spool").iterdir()] == []
