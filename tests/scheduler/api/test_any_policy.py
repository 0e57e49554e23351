"""Every policy, shipped or a stranger's own, answers within every budget field of a request."""

from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from policies import POLICIES, build
from policies.base import Decision, Draw, Policy, Situation, Stop
from policies.options import PolicyOptions
from policies.plan import Budget
from scheduler.solving.controller import Controller
from scheduler.solving.token_limits import worst_query
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller
from workers.simulated.engine import SimulatedEngine

ROOM = SimulatedEngine().max_model_len

FIELDS: list[dict[str, Any]] = [
    {"max_tokens": 60},
    {"max_completion_tokens": 300},
    {"max_completion_tokens": 1},
    {"thinking_token_budget": 40},
    {"thinking_token_budget": -1},
    {"reasoning": {"max_tokens": 40}},
    {"thinking": {"type": "enabled", "budget_tokens": 40}},
    {"thinking_budget": 10_000},
    {"reasoning_effort": "none"},
    {"reasoning_effort": "low"},
    {"reasoning_effort": "max", "max_tokens": 100},
    {"reasoning": {"mode": "pro"}},
    {"n": 2},
    {"thinkbudget": {"max_total_tokens": 400}},
    {"thinkbudget": {"deadline_seconds": 0.5}},
    {"thinkbudget": {"target_accuracy": 0.9, "value": 2.0}},
    {"thinkbudget": {"learn": False, "dry_run": True}},
    {"thinkbudget": {"max_thinking_tokens": 40}},
    {"thinkbudget": {"max_thinking_tokens": "x"}},
    {"thinkbudget": {"min_thinking_tokens": 30}, "thinking_token_budget": 40},
    {"thinkbudget": {"extensions": 2}},
    {"thinkbudget": {"price": 0.001}},
    {"thinkbudget": {"trace": True}},
    {"thinkbudget": {"max_total_tokens": 60}},
    {"thinkbudget": {"name": "x"}},
    {"thinkbudget": {"self": 1}},
]


class Stranger(Policy):
    """As somebody outside would write it: no dataclass, no options; it asks for too much."""

    name = "stranger"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if len(situation.tally.history) >= 2:
            return Stop("settled")
        return Draw(2, situation.budget(None, answer_tokens=50))


class Greedy(Stranger):
    """Never stops by itself, and asks for more chains than it declares."""

    name = "greedy"

    @property
    def max_chains(self) -> int:
        return 3

    def decide(self, situation: Situation, rng: Random) -> Decision:
        return Draw(100, situation.budget(50, answer_tokens=20))


class Capped(Stranger):
    """Declares a cap that no request can change."""

    name = "capped"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(max_thinking_tokens=90)


@dataclass(frozen=True)
class Chosen(Policy):
    """A dataclass of somebody outside: its fields are options, its name is none."""

    name: str = "chosen"
    max_thinking_tokens: int | None = None

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(self.max_thinking_tokens)

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if situation.tally.history:
            return Stop("plan done")
        return Draw(1, Budget.within(self.max_thinking_tokens))


OWN = {"stranger": Stranger, "greedy": Greedy, "capped": Capped, "chosen": Chosen}


async def reply_of(controller: Controller, fields: dict[str, Any]) -> Any:
    async with client_of(controller) as client:
        return await client.post(CHAT, json=chat(**fields))


async def controller_of(name: str) -> Controller:
    if name in POLICIES:
        return await make_controller(policy=name)
    controller = await make_controller()
    controller.policy = OWN[name]()
    return controller


@pytest.mark.parametrize("fields", FIELDS, ids=str)
@pytest.mark.parametrize("name", [*POLICIES, *OWN])
async def test_every_policy_answers_within_every_budget_field(
    name: str, fields: dict[str, Any]
) -> None:
    controller = await controller_of(name)
    reply = await reply_of(controller, fields)
    if reply.status_code == 400:
        assert reply.json()["error"]["param"], reply.text
        return
    assert reply.status_code == 200, reply.text
    body = reply.json()
    own = fields.get("thinkbudget", {})
    assert ("trace" in body["thinkbudget"]) is bool(own.get("trace"))
    if total := own.get("max_total_tokens"):
        assert body["usage"]["completion_tokens"] <= total
    assert controller.ledger.reserved == 0
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    for choice in body["choices"]:
        spent = body["thinkbudget"]["spent"]
        if limit:
            assert spent["selected_tokens"] <= limit, choice


@pytest.mark.parametrize("name", ["stranger", "fixed", "priced", "majority", "rejection_sampling"])
async def test_a_cap_of_the_request_holds_for_every_chain(name: str) -> None:
    reply = await reply_of(await controller_of(name), {"thinking_token_budget": 20})
    assert reply.status_code == 200
    assert reply.json()["thinkbudget"]["decision"]["budget_tokens"] <= 20


async def test_a_policy_written_outside_takes_its_fields_as_options() -> None:
    reply = await reply_of(
        await controller_of("chosen"), {"thinkbudget": {"max_thinking_tokens": 20}}
    )
    assert reply.status_code == 200
    assert reply.json()["thinkbudget"]["policy"] == "chosen"
    assert reply.json()["thinkbudget"]["decision"]["budget_tokens"] == 20


@pytest.mark.parametrize("value", ["x", -1, 10**9, True])
async def test_an_option_of_a_policy_written_outside_is_checked(value: object) -> None:
    reply = await reply_of(
        await controller_of("chosen"), {"thinkbudget": {"max_thinking_tokens": value}}
    )
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "thinkbudget.max_thinking_tokens"


async def test_a_policy_draws_no_more_chains_than_it_declares() -> None:
    spent = (await reply_of(await controller_of("greedy"), {})).json()["thinkbudget"]["spent"]
    assert spent["chains"] == 3


async def test_options_for_a_policy_without_any_are_refused_by_name() -> None:
    controller = await controller_of("stranger")
    reply = await reply_of(controller, {"thinkbudget": {"samples": 3}})
    assert reply.status_code == 400
    assert "stranger" in reply.json()["error"]["message"]


def test_a_query_is_reserved_with_all_the_chains_that_its_policy_declares() -> None:
    from policies.base import Limits

    one = worst_query(build("fixed"), Limits(), ROOM)
    assert worst_query(build("rejection_sampling"), Limits(), ROOM) == 64 * one
    assert worst_query(build("priced", max_samples=16), Limits(), ROOM) == 16 * one
    assert worst_query(Stranger(), Limits(), ROOM) == Stranger().max_chains * one
    small = worst_query(build("majority"), Limits(max_chain_tokens=100), ROOM)
    assert small < worst_query(build("majority"), Limits(), ROOM)


@pytest.mark.parametrize("name", POLICIES)
def test_every_shipped_policy_declares_what_it_may_take(name: str) -> None:
    policy = build(name)
    assert type(policy).options is not Policy.options
    assert type(policy).max_chains is not Policy.max_chains
    capped = build(name, max_thinking_tokens=77, answer_tokens=9)
    assert (capped.options.max_thinking_tokens, capped.options.answer_tokens) == (77, 9)
    assert capped.with_options(answer_tokens=10).options.answer_tokens == 10
