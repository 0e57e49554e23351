"""A candidate beside live traffic: what it would have done is logged, and nothing waits for it."""

import asyncio
import io
import json
import logging
import time
from random import Random
from typing import Any

import pytest

from policies import build
from policies.base import Decision, Policy, Situation, Stop
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import build_outcome
from scheduler.solving.shadow import MOST_WAITING, Shadow
from tests.scheduler.simulation import make_controller, make_query, make_run
from workers.simulated.law import reference


class Raises(Policy):
    @property
    def name(self) -> str:
        return "raises"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        raise ZeroDivisionError("no")


class Stalls(Raises):
    def decide(self, situation: Situation, rng: Random) -> Decision:
        while True:
            time.sleep(0.01)


async def shadowed(candidate: Policy, policy: str = "majority", **options: Any) -> Controller:
    controller = await make_controller(policy=policy, **options)
    controller.outcomes = io.StringIO()
    controller.shadow = Shadow(candidate, controller.metrics)
    return controller


def logged(controller: Controller) -> list[dict[str, Any]]:
    assert isinstance(controller.outcomes, io.StringIO)
    return [json.loads(line) for line in controller.outcomes.getvalue().splitlines()]


async def answered(controller: Controller, count: int) -> None:
    for number in range(count):
        text = f"hard question {number}"
        await controller.answer(make_query(text, id=str(number), reference=reference(text)))
    assert controller.shadow is not None
    await controller.shadow.settled()


def counted(controller: Controller, name: str) -> dict[str, float]:
    return {
        next(iter(sample.labels.values())): sample.value
        for metric in controller.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == f"thinkbudget_{name}_total"
    }


async def test_what_the_candidate_would_have_done_is_logged_and_counted() -> None:
    controller = await shadowed(build("majority", samples=2), samples=4)
    await answered(controller, 5)
    spent = controller.ledger.spent
    lines = logged(controller)
    assert len(lines) == 5 and spent == sum(line["tokens"]["total"] for line in lines)
    for line in lines:
        told = line["shadow"]
        assert (told["policy"], told["samples"], told["agrees"]) == ("majority", 2, False)
        first = [each for each in line["samples"] if each["chain"] < 2]
        assert told["tokens"] == sum(each["tokens"] for each in first)
        assert told["answer"] in {each["answer"] for each in first}
        assert told["correct"] == (told["answer"] == line["reference"])
        assert told["unknown"] is None
    assert counted(controller, "shadow_decisions") == {"differs": 5}
    assert sum(counted(controller, "shadow_answers").values()) == 5
    assert counted(controller, "shadow_tokens")["served"] == spent


async def test_what_the_chains_do_not_tell_says_why() -> None:
    controller = await shadowed(build("majority", samples=9), samples=4)
    await answered(controller, 1)
    (line,) = logged(controller)
    assert line["shadow"]["answer"] is None and "fewer than the 9" in line["shadow"]["unknown"]
    assert counted(controller, "shadow_answers") == {"unknown": 1}


async def test_the_policy_itself_agrees_with_itself() -> None:
    controller = await shadowed(build("majority", samples=4), samples=4)
    await answered(controller, 3)
    assert counted(controller, "shadow_decisions") == {"agrees": 3}
    assert counted(controller, "shadow_answers") == {"same": 3}


async def test_a_query_with_a_policy_of_its_own_is_left_alone() -> None:
    controller = await shadowed(build("majority", samples=2), samples=4)
    await controller.answer(make_query(), policy=build("fixed"))
    (line,) = logged(controller)
    assert "shadow" not in line


@pytest.mark.parametrize("candidate", [Raises(), Stalls()])
async def test_one_that_fails_is_switched_off_with_one_line(
    candidate: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    controller = await shadowed(candidate, samples=3)
    await answered(controller, 1)
    await answered(controller, 4)
    assert [line["shadow"] for line in logged(controller)] == [None] * 5
    (record,) = [each for each in caplog.records if "switched off" in each.message]
    assert candidate.name in record.message
    assert counted(controller, "shadow_decisions") == {"failed": 1}


def test_no_request_waits_for_the_candidate() -> None:
    """On real time: the replies are there before the candidate has stalled out."""

    async def main() -> tuple[float, int]:
        controller = await shadowed(Stalls(), samples=2)
        began = time.perf_counter()
        await controller.answer(make_query())
        took = time.perf_counter() - began
        before = len(logged(controller))
        assert controller.shadow is not None and controller.shadow.waiting == 1
        await controller.shadow.settled()
        return took, before

    took, before = asyncio.run(main())
    assert took < 0.9 and before == 0


async def test_where_too_many_wait_further_queries_are_logged_at_once() -> None:
    controller = await shadowed(build("majority", samples=2), samples=2)
    run = make_run()
    outcome = build_outcome(run, Stop("failed"), model="", policy="majority")
    told: list[object] = []
    assert controller.shadow is not None
    for _ in range(MOST_WAITING + 1):
        controller.shadow.beside(run, outcome, told.append)
    assert told == [None]
    await controller.shadow.settled()
    assert len(told) == MOST_WAITING + 1
