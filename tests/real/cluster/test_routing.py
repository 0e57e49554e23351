"""A chain that goes on goes home: real Ray Serve, two replicas of the simulated engine."""

import asyncio
import logging
import os
from collections.abc import Iterator

import pytest

from policies.plan import Budget
from workers.engine import SampleRequest
from workers.sample import Sample

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def application() -> Iterator[str]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray import serve

    from scheduler.cluster.application import application as bind
    from scheduler.config import EngineConfig, ServeConfig

    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=100 << 20,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    serve.start(proxy_location="Disabled")
    config = ServeConfig(engine=EngineConfig(kind="simulated", model="simulated"), replicas=2)
    serve.run(bind(config), name="routing", route_prefix=None)
    yield "routing"
    serve.delete("routing")
    ray.shutdown()


def test_a_chain_is_extended_where_it_was_sampled(application: str) -> None:
    from ray import serve

    from scheduler.cluster.remote import RemoteEnginePool
    from scheduler.engines.failover import FailoverEngine

    async def one(engine: FailoverEngine, request: SampleRequest) -> Sample:
        *_, last = [event async for event in engine.sample(request)]
        assert isinstance(last, Sample)
        return last

    async def scenario() -> list[tuple[str, str]]:
        engine = FailoverEngine(
            RemoteEnginePool(serve.get_deployment_handle("EngineReplica", application))
        )
        homes = []
        for number in range(24):
            asked = SampleRequest(
                f"query-{number}", (("user", f"easy question {number}"),), (0,), Budget(400)
            )
            first = await one(engine, asked)
            again = SampleRequest(
                asked.query, asked.messages, (0,), Budget(400, extensions=1), parents=(first,)
            )
            homes.append((first.replica, (await one(engine, again)).replica))
        return homes

    homes = asyncio.run(scenario())
    assert len({first for first, _ in homes}) == 2
    assert [again for _, again in homes] == [first for first, _ in homes]
