"""An effort is a point on what was learned, and a number of tokens until there is something."""

from itertools import pairwise
from typing import Any, cast, get_args

import pytest

from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import ClassCurve, fit
from policies.curves.plans.counts import Course, PlanCounts
from policies.curves.plans.settings import ChainSetting
from policies.exploration import COLD_RUNS
from policies.plan import MAX_TOKENS
from policies.priced import Priced
from policies.tally import Vote
from scheduler.api import protocol
from scheduler.api.chat import complete
from scheduler.solving.controller import Controller
from scheduler.solving.effort import COLD_TOKENS, QUANTILES, Effort, effort_of
from tests.scheduler.simulation import PRICE, chat, make_controller
from workers.simulated.law import reference

LEVELS = list(QUANTILES)


def curve_after(explored: int) -> ClassCurve:
    counts = PlanCounts()
    course = Course([Vote(0, "a", 54, 50)], (), ChainSetting())
    for _ in range(explored):
        counts.observe([course], lambda answer: True, is_exploration=True)
    return fit(ClassStatistics(10, 10, plans=counts), price=PRICE)


def effort(level: str, curve: ClassCurve | None, **fields: Any) -> Effort:
    options: dict[str, Any] = {"priced": True, "room": 100_000} | fields
    return effort_of(level, curve, **options)


def test_every_level_of_a_request_is_known() -> None:
    assert set(get_args(protocol.EffortLevel)) == {*COLD_TOKENS} == {*QUANTILES, "none"}


def test_more_effort_is_worth_more_on_a_curve_and_medium_is_the_servers_price() -> None:
    efforts = [effort(level, curve_after(COLD_RUNS)) for level in LEVELS]
    values = [one.value for one in efforts]
    assert values == sorted(set(values))
    assert (values[0], values[-1]) == (1 / 8, 8)
    assert values[LEVELS.index("medium")] == 1
    assert {one.by for one in efforts} == {"curve"}
    assert all(one.tokens is None for one in efforts)


@pytest.mark.parametrize(
    ("curve", "fields"),
    [
        (None, {}),
        (curve_after(COLD_RUNS - 1), {}),
        (curve_after(COLD_RUNS), {"priced": False}),
    ],
)
def test_without_a_curve_an_effort_is_a_cap(
    curve: ClassCurve | None, fields: dict[str, Any]
) -> None:
    efforts = [effort(level, curve, **fields) for level in LEVELS]
    assert {one.by for one in efforts} == {"table"}
    assert [one.tokens for one in efforts] == [512, 1024, 4096, 16_384, 32_768, 80_000]
    assert all(one.value == 1 for one in efforts)


def test_a_cap_leaves_room_for_the_prompt() -> None:
    assert effort("max", None, room=1000).tokens == 800
    assert effort("low", None, room=1000).tokens == 800
    assert COLD_TOKENS["max"] == MAX_TOKENS


def test_none_is_no_thinking_whatever_is_known() -> None:
    assert effort("none", curve_after(COLD_RUNS)) == Effort("none", "off", tokens=0)


async def taught(questions: int = 40) -> Controller:
    """A server whose default class has been learned from labelled questions."""
    controller = await make_controller(policy="priced")
    for n in range(questions):
        question = f"medium question {n}"
        told = {"reference_answer": reference(question)}
        await complete(controller, chat(question, thinkbudget=told))
    return controller


class OwnPriced(Priced):
    """A policy of somebody's own that spends by price."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return "own"


async def answered(controller: Controller, level: str, **fields: Any) -> dict[str, Any]:
    body = chat("medium question x", reasoning_effort=level, **fields)
    return cast(dict[str, Any], (await complete(controller, body))["thinkbudget"])


async def test_a_reply_tells_which_effort_was_used() -> None:
    cold = await answered(await make_controller(policy="priced"), "low")
    assert cold["effort"] == {"level": "low", "by": "table", "value": 1.0, "tokens": 1024}
    assert cold["decision"]["budget_tokens"] == 1024
    controller = await taught()
    told = await answered(controller, "high", thinkbudget={"exploration": 0.0})
    assert (told["effort"]["by"], told["policy"]) == ("curve", "priced")
    assert told["predicted_accuracy"] is not None and told["predicted_tokens"] > 0


async def test_an_effort_leaves_a_server_the_policy_that_spends_by_price() -> None:
    controller = await taught()
    controller.policy = OwnPriced(exploration=0.0)
    reply = await answered(controller, "high")
    assert (reply["effort"]["by"], reply["policy"]) == ("curve", "own")


async def test_more_effort_expects_more_where_a_curve_was_learned() -> None:
    """Neighbours may swap: which of two plans is better is known to an error only."""
    controller = await taught()
    options = {"exploration": 0.0, "dry_run": True}
    told = [await answered(controller, level, thinkbudget=options) for level in LEVELS]
    assert [one["effort"]["level"] for one in told] == LEVELS
    tokens = [one["predicted_tokens"] for one in told]
    assert all(more > 0.85 * less for less, more in pairwise(tokens))
    assert tokens[-1] > 1.2 * tokens[0]


async def test_an_effort_beside_a_named_policy_caps_it() -> None:
    controller = await taught()
    options = {"policy": "majority", "samples": 3}
    told = await answered(controller, "minimal", thinkbudget=options)
    assert (told["policy"], told["decision"]["samples"]) == ("majority", 3)
    assert (told["effort"]["by"], told["decision"]["budget_tokens"]) == ("table", 512)
    none = await answered(controller, "none")
    assert (none["policy"], none["spent"]["by_kind"]["reasoning"]) == ("fixed", 0)
