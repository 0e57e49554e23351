"""Goals are held on the simulated engine; load and tenants only ever add to the price."""

import asyncio
from random import Random

import pytest

from policies import build
from policies.price import HIGHEST, Price
from policies.shares import Shares
from scheduler.config import PriceConfig
from scheduler.curves.wal import DurableCurveStore
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from scheduler.solving.pricing import Pricing
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller, make_query
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import questions


def answered(price: Price, *, count: int, labelled: float = 1.0) -> tuple[float, float]:
    """Accuracy and mean tokens of a cold start on a mixed stream."""

    async def main() -> tuple[float, float]:
        engine, rng = SimulatedEngine(), Random(0)
        controller = Controller(
            engine=engine,
            info=await engine.info(),
            policy=build("priced"),
            curves=DurableCurveStore(),
            pricing=Pricing(price),
        )
        waiting = iter(questions(count))
        right: list[bool] = []
        outcomes: list[Outcome] = []

        async def worker() -> None:
            for asked in waiting:
                reference = asked["answer"] if rng.random() < labelled else None
                query = make_query(
                    asked["question"],
                    id=asked["id"],
                    query_class=asked["class"],
                    reference=reference,
                )
                outcome = await controller.answer(query)
                outcomes.append(outcome)
                right.append(outcome.answer == asked["answer"])

        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(worker())
        return sum(right) / count, sum(o.tokens.total for o in outcomes) / count

    return run_virtual(main())


@pytest.mark.slow
def test_a_token_budget_is_held_within_two_per_cent() -> None:
    _, tokens = answered(Price.for_tokens(250), count=1200)
    assert tokens == pytest.approx(250, rel=0.02)


@pytest.mark.slow
def test_a_target_accuracy_is_held_within_a_point() -> None:
    accuracy, _ = answered(Price.for_accuracy(0.68), count=1200)
    assert accuracy == pytest.approx(0.68, abs=0.01)


def test_load_raises_the_price_by_its_weight() -> None:
    pricing = Pricing(Price(1e-4), load_weight=1.0)
    assert pricing.now() == 1e-4
    assert pricing.now(load=0.5) == pytest.approx(4e-4)
    assert pricing.now(load=2.0) == HIGHEST
    assert Pricing(Price(1e-4)).now(load=0.9) == 1e-4


def test_a_tenant_above_its_share_pays_more_than_the_others() -> None:
    pricing = Pricing(Price(1e-4), shares=Shares())
    for _ in range(50):
        pricing.settle(900, tenant="greedy")
        pricing.settle(100, tenant="modest")
    assert pricing.now(tenant="greedy") == pytest.approx(1.8e-4, rel=0.05)
    assert pricing.now(tenant="modest") == 1e-4


def test_without_labels_a_target_accuracy_is_steered_by_predictions() -> None:
    pricing = Pricing(Price.for_accuracy(0.8))
    for _ in range(10):
        pricing.settle(100, predicted=0.9)
    assert pricing.now() > pricing.price.for_accuracy(0.8).per_token


def test_late_labels_correct_what_a_target_accuracy_is_steered_by() -> None:
    """Predictions say that all is above the goal; what is checked says that it is not."""
    pricing = Pricing(Price.for_accuracy(0.8))
    for _ in range(100):
        pricing.check(0.9, 0.5)
    begun = pricing.now()
    for _ in range(10):
        pricing.settle(100, predicted=0.9)
    assert pricing.now() < begun


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        (PriceConfig(), Price(3e-4)),
        (PriceConfig(1e-3), Price(1e-3)),
        (PriceConfig(tokens_per_query=500), Price.for_tokens(500)),
        (PriceConfig(1e-3, accuracy=0.9), Price.for_accuracy(0.9, 1e-3)),
    ],
)
def test_the_price_begins_as_it_is_set(settings: PriceConfig, begins: Price) -> None:
    assert Pricing.of(settings).price == begins


@pytest.mark.parametrize("stream", [False, True])
async def test_the_user_of_a_request_is_whose_share_it_takes(stream: bool) -> None:
    controller = await make_controller(policy="majority", samples=8)
    async with client_of(controller) as client:
        for user in ["greedy", "greedy", "greedy", "modest"] * 5:
            reply = await client.post(CHAT, json=chat(user=user, stream=stream))
            assert reply.status_code == 200
    price = controller.pricing.price.per_token
    assert controller.pricing.now(tenant="greedy") > 1.3 * price
    assert controller.pricing.now(tenant="modest") == price
