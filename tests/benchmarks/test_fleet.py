"""The fleet's arithmetic: loads, saturation, a core's clock; and the whole of it in small."""

import asyncio
from time import process_time

import pytest

from benchmarks.fleet.exchange import ExchangeLoad, exchanges, shared
from benchmarks.fleet.parts import Granted, granted
from benchmarks.fleet.scale import REQUESTS, Core, Cost
from benchmarks.fleet.traffic import Traffic, play
from tests.scheduler.batch.jobs import Steps


def test_a_part_saturates_where_its_cores_are_taken() -> None:
    one = Cost("one process", 50e-6, REQUESTS)
    assert one.load == pytest.approx(0.25)
    assert one.saturates_at == pytest.approx(4 * REQUESTS)
    fifty = Cost("one in each gateway", 1e-3, REQUESTS, 50)
    assert fifty.saturates_at == pytest.approx(50_000)


def test_work_on_a_core_waits_for_the_work_before_it() -> None:
    core = Core()
    with core.working(10.0):
        began = process_time()
        while process_time() - began < 0.02:
            pass
    assert core.free == pytest.approx(10.02, abs=0.01)
    with core.working(10.0):
        assert core.now() >= 10.02
    assert core.busy == pytest.approx(core.free - 10.0)


def test_what_gateways_still_hold_is_not_lost() -> None:
    load = ExchangeLoad(1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 80, 100, 20, 0, 1)
    assert load.lost == 0 and load.holds
    assert load._replace(counted=79).lost == 1
    assert not load._replace(late=1.0).holds


def test_a_part_of_a_quota_in_each_gateway_never_grants_more_than_all_of_it() -> None:
    assert Granted(600, 300, 1).share == 0.5
    assert 0.3 < granted(100, 1).share <= 1.0


@pytest.mark.slow
def test_the_curve_store_counts_all_that_is_sent() -> None:
    core = Core()
    with shared(0, paced=True, core=core) as store:
        load = asyncio.run(exchanges(store, core, 400.0, 1.0, Steps()))
    assert load.lost == 0 and load.sent > 0 and load.counted > 0


@pytest.mark.slow
def test_a_small_fleet_loses_nothing_though_engines_die() -> None:
    traffic = Traffic(200, 2.0, 1, 150.0, gateways=3, engines=30, classes=4)
    found = play(traffic, Steps())
    assert (found.asked, found.answered, found.observed, found.stored) == (200, 200, 200, 200)
    assert found.deaths > 0 and found.migrations > 0 and found.lost == 0
