"""A job whose engines are spread over a Ray cluster of two nodes, one of which is lost."""

import asyncio
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scheduler.batch.run import Job, JobSettings
from scheduler.batch.storage import locate
from scheduler.config import EngineConfig, PolicyConfig, ServeConfig
from tests.scheduler.batch.jobs import Steps, answered, ids, job, line, write

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

ROWS = 120
AT_ONCE = 8
LONGEST = 500
ANSWER = 10
"""An answer takes less."""


@pytest.fixture
def cluster() -> Iterator[Any]:
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.second = cluster.add_node(**{**node, "num_cpus": 1})
    logging.getLogger("ray").setLevel(logging.ERROR)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_rows_are_spread_and_a_lost_node_loses_none(tmp_path: Path, cluster: Any) -> None:
    from scheduler.cluster.batch_engines import batch_engines

    source, steps = write(tmp_path, *(line(str(n)) for n in range(ROWS))), Steps()
    where = ServeConfig(
        engine=EngineConfig(kind="simulated", model="simulated", max_num_seqs=2),
        policy=PolicyConfig("fixed", {"min_thinking_tokens": 400, "max_thinking_tokens": LONGEST}),
    )
    settings = JobSettings(
        locate(str(source)),
        locate(str(tmp_path / "out.jsonl")),
        where,
        concurrency=AT_ONCE,
        engines=partial(batch_engines, address=cluster.address, replicas=4),
    )
    one = Job(settings, job(source, steps=steps)._bar)
    one.begin()

    async def main() -> None:
        running = asyncio.create_task(one.run())
        while steps.count < ROWS // 4 and not running.done():
            await asyncio.sleep(0.05)
        await asyncio.to_thread(cluster.remove_node, cluster.second)
        report = await running
        assert (report.summary.answered, report.summary.failed) == (ROWS, 0)

    asyncio.run(asyncio.wait_for(main(), 240))
    assert sorted(map(int, ids(tmp_path))) == list(range(ROWS))
    tokens = [one["response"]["body"]["usage"]["completion_tokens"] for one in answered(tmp_path)]
    # Only what ran on the lost node is paid for twice, and no more than ran at all.
    assert min(tokens) >= 400
    twice = [each for each in tokens if each > LONGEST + ANSWER]
    assert len(twice) <= AT_ONCE and sum(twice) <= 2 * AT_ONCE * (LONGEST + ANSWER)
