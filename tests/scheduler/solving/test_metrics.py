"""What is counted, under which names, and that no label can grow without bound."""

import asyncio
from dataclasses import replace
from typing import Any

from scheduler.api.app import IN_PROCESS
from scheduler.api.endpoint import Endpoint
from scheduler.api.service import exposition
from scheduler.solving.metrics import MAX_CLASSES, MAX_PLANS, OTHER, Metrics
from scheduler.solving.outcome import Outcome
from scheduler.solving.trace import Trace
from tests.scheduler.simulation import PRICE, make_controller, make_query
from workers.engine import ReplicaStatus
from workers.sample import lost
from workers.simulated.clock import run_virtual


def values(metrics: Metrics) -> dict[str, float]:
    """By name and labels, as Prometheus would write them."""
    lines = metrics.text().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name.removeprefix("thinkbudget_"): float(value) for name, value in pairs}


def answered(policy: str = "majority", **options: Any) -> tuple[Metrics, Outcome]:
    async def main() -> tuple[Metrics, Outcome]:
        controller = await make_controller(policy=policy, **options)
        return controller.metrics, await controller.answer(make_query())

    return run_virtual(main())


def test_an_outcome_is_counted_by_tokens_and_chains() -> None:
    metrics, outcome = answered(samples=4)
    seen = values(metrics)
    for kind, count in outcome.tokens._asdict().items():
        assert seen.get(f'tokens_total{{kind="{kind}"}}', 0) == count
    ended = [count for name, count in seen.items() if name.startswith("samples_total")]
    assert sum(ended) == 4
    assert seen["vote_agreement_sum"] == outcome.agreement
    assert seen['budget_tokens_count{policy="majority"}'] == 1


def test_extensions_are_counted_by_chain() -> None:
    metrics, outcome = answered("fixed", extensions=2)
    assert [r.sample.extensions for r in outcome.records] == [2]
    assert values(metrics)["extensions_total"] == 2


def test_chains_that_were_ended_early_say_why() -> None:
    metrics, outcome = answered("adaptive_consistency", samples_per_round=8)
    cancelled = sum(r.sample.stop_cause == "cancelled" for r in outcome.records)
    assert cancelled > 0
    assert values(metrics)['early_stops_total{reason="cancelled"}'] == cancelled


def test_chains_that_moved_or_were_lost_are_counted() -> None:
    metrics, outcome = answered("fixed")
    record = outcome.records[0]
    moved = record._replace(sample=replace(record.sample, migrations=2))
    gone = record._replace(sample=lost(1))
    metrics.settled(replace(outcome, records=(moved, gone)))
    seen = values(metrics)
    assert (seen['replays_total{reason="moved"}'], seen['replays_total{reason="lost"}']) == (2, 1)


def test_what_engines_counted_is_told_as_it_stands() -> None:
    metrics = Metrics()
    metrics.follow({"deaths": 2}, {})
    metrics.follow({"deaths": 5, "moves": 1}, {})
    seen = values(metrics)
    assert seen['engine_events_total{kind="deaths"}'] == 5
    assert seen['engine_events_total{kind="moves"}'] == 1


def test_two_controllers_do_not_mix() -> None:
    first, second = Metrics(), Metrics()
    first.extensions.inc()
    assert (values(first)["extensions_total"], values(second)["extensions_total"]) == (1, 0)


def test_classes_past_the_bound_are_one() -> None:
    metrics = Metrics()
    for number in range(3 * MAX_CLASSES):
        metrics.ended(Trace(policy="fixed", query_class=f"class {number}"))
    labels = [name for name in values(metrics) if name.startswith("requests_total")]
    assert len(labels) == MAX_CLASSES + 1
    rest = f'requests_total{{class="{OTHER}",outcome="ok",policy="fixed"}}'
    assert values(metrics)[rest] == 2 * MAX_CLASSES


def test_the_age_of_a_curve_is_since_it_last_moved() -> None:
    now = [0.0]
    metrics, (_, outcome) = Metrics(clock=lambda: now[0]), answered("fixed")
    name = 'curve_age_seconds{class="default"}'

    def settle(queries: float) -> float | None:
        """The age of a curve of so many queries, as an outcome saw it."""
        considered = replace(outcome.considered, queries=queries)
        metrics.settled(replace(outcome, considered=considered))
        return values(metrics).get(name)

    assert settle(0.0) is None
    assert settle(5.0) == 0.0
    now[0] = 7.0
    assert settle(5.0) == 7.0
    assert settle(6.0) == 0.0


def test_operators_see_tasks_that_were_left_behind() -> None:
    async def tasks_beside(others: int) -> float:
        sleeping = [asyncio.create_task(asyncio.sleep(60)) for _ in range(others)]
        controller = await make_controller()
        await exposition(Endpoint.of(controller, IN_PROCESS))
        for task in sleeping:
            task.cancel()
        return values(controller.metrics)["tasks"]

    assert run_virtual(tasks_beside(3)) == run_virtual(tasks_beside(0)) + 3


def test_all_loaded_classes_have_gauges_before_any_is_asked() -> None:
    async def main() -> Metrics:
        first = await make_controller(policy="majority")
        for _ in range(3):
            await first.answer(make_query(query_class="sums"))
        again = await make_controller(policy="majority")
        again.curves = first.curves  # as after a restart: loaded, and nothing asked yet
        await exposition(Endpoint.of(again, IN_PROCESS))
        return again.metrics

    assert values(run_virtual(main()))['curve_queries{class="sums"}'] == 3


def test_the_gauges_of_many_loaded_classes_are_bounded_and_add_up() -> None:
    metrics = Metrics()
    metrics.saw_curves({f"class {n}": 1.0 + (n == 70) for n in range(MAX_CLASSES + 30)})
    seen = {name: v for name, v in values(metrics).items() if name.startswith("curve_queries")}
    assert len(seen) == MAX_CLASSES + 1
    assert seen['curve_queries{class="class 70"}'] == 2
    assert seen[f'curve_queries{{class="{OTHER}"}}'] == 30


def test_what_was_answered_is_counted_by_class_and_plan() -> None:
    metrics, outcome = answered(samples=4)
    assert outcome.plan is not None
    by = f'{{class="default",plan="{outcome.plan.name}"}}'
    seen = values(metrics)
    assert seen[f"plan_queries_total{by}"] == 1
    assert seen[f"plan_tokens_total{by}"] == outcome.tokens.total


def test_plans_past_the_bound_are_one() -> None:
    metrics, outcome = answered(samples=4)
    assert outcome.plan is not None
    for number in range(MAX_PLANS + 10):
        metrics.settled(replace(outcome, plan=replace(outcome.plan, name=f"plan {number}")))
    names = [name for name in values(metrics) if name.startswith("plan_queries_total")]
    assert len(names) == MAX_PLANS + 1


def test_price_and_accuracy_served_are_told() -> None:
    async def main() -> dict[str, float]:
        controller = await make_controller(policy="priced")
        for number in range(30):
            query = make_query(f"easy question {number}", id=str(number), reference="7")
            await controller.answer(query)
        await exposition(Endpoint.of(controller, IN_PROCESS))
        return values(controller.metrics)

    seen = run_virtual(main())
    assert seen["price"] == PRICE
    served = {name: value for name, value in seen.items() if name.startswith("served_accuracy")}
    assert {name.split('"')[1] for name in served} == {"accuracy", "low", "high"}
    for name, accuracy in served.items():
        if 'bound="accuracy"' in name:
            low, high = (served[name.replace('"accuracy"', f'"{b}"')] for b in ("low", "high"))
            assert 0 <= low <= accuracy <= high <= 1


def test_a_fleet_is_counted_by_what_its_engines_do() -> None:
    metrics = Metrics()
    metrics.saw_engines(
        [
            ReplicaStatus("one", owed_tokens=30),
            ReplicaStatus("two"),
            ReplicaStatus("3", is_gone=True),
        ]
    )
    seen = values(metrics)
    assert (seen['engines{state="serving"}'], seen['engines{state="gone"}']) == (2, 1)
    assert seen["owed_tokens"] == 30
