"""Every vendor's way to ask for thinking comes to the same request, or to a refusal."""

from typing import Any

import pytest

from policies import POLICIES
from policies.plan import MAX_TOKENS
from scheduler.api.budget import BudgetRequest, read
from scheduler.api.protocol import parse
from scheduler.errors import InvalidRequest
from tests.scheduler.simulation import chat, post

SAYS_TOKENS: list[dict[str, Any]] = [
    {"thinking_token_budget": 700},
    {"reasoning": {"max_tokens": 700}},
    {"thinking": {"type": "enabled", "budget_tokens": 700}},
    {"thinking_budget": 700},
    {"chat_template_kwargs": {"thinking_budget": 700, "enable_thinking": True}},
    {"thinking_budget": 700, "enable_thinking": True, "thinking_token_budget": 700},
]
SAYS_NONE: list[dict[str, Any]] = [
    {"reasoning_effort": "none"},
    {"reasoning": {"effort": "none"}},
    {"reasoning": {"enabled": False}},
    {"thinking": {"type": "disabled"}},
    {"enable_thinking": False},
    {"chat_template_kwargs": {"enable_thinking": False}},
    {"chat_template_kwargs": {"thinking": False}},
    {"enable_thinking": False, "reasoning_effort": "none"},
]


@pytest.mark.parametrize("fields", SAYS_TOKENS, ids=str)
def test_all_vendors_tokens_are_one_cap(fields: dict[str, Any]) -> None:
    assert read(parse(chat(**fields))) == BudgetRequest(tokens=700)


@pytest.mark.parametrize("fields", SAYS_NONE, ids=str)
def test_thinking_can_be_switched_off_in_every_vendors_words(fields: dict[str, Any]) -> None:
    assert read(parse(chat(**fields))) == BudgetRequest(effort="none")


def test_minus_one_is_all_that_the_engine_has() -> None:
    assert read(parse(chat(thinking_token_budget=-1))).tokens == MAX_TOKENS


def test_pro_mode_and_an_adaptive_switch_say_little() -> None:
    assert read(parse(chat(reasoning={"mode": "pro"}))) == BudgetRequest(votes=True)
    assert read(parse(chat(thinking={"type": "adaptive"}))) == BudgetRequest()


def test_an_effort_and_tokens_hold_together() -> None:
    said = read(parse(chat(reasoning_effort="high", thinking_token_budget=700)))
    assert said == BudgetRequest(tokens=700, effort="high")


CONFLICTS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"thinking_token_budget": 1, "thinking_budget": 2},
        "thinking_token_budget",
        "thinking_budget",
    ),
    (
        {"thinking_budget": 2, "thinkbudget": {"max_thinking_tokens": 3}},
        "thinking_budget",
        "thinkbudget.max_thinking_tokens",
    ),
    (
        {"reasoning_effort": "low", "reasoning": {"effort": "high"}},
        "reasoning_effort",
        "reasoning.effort",
    ),
    ({"reasoning_effort": "none", "thinking_budget": 5}, "reasoning_effort", "thinking_budget"),
    ({"reasoning_effort": "low", "thinking_budget": 0}, "reasoning_effort", "thinking_budget"),
    ({"reasoning_effort": "low", "enable_thinking": False}, "reasoning_effort", "enable_thinking"),
    ({"reasoning_effort": "none", "enable_thinking": True}, "reasoning_effort", "enable_thinking"),
    (
        {"thinking": {"type": "disabled", "budget_tokens": 9}},
        "thinking.type",
        "thinking.budget_tokens",
    ),
    ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens", "thinking"),
    (
        {"thinking_budget": 9, "thinkbudget": {"policy": "fixed", "min_thinking_tokens": 10}},
        "thinking_budget",
        "thinkbudget.min_thinking_tokens",
    ),
    (
        {"reasoning_effort": "none", "thinkbudget": {"policy": "fixed", "extensions": 1}},
        "reasoning_effort",
        "thinkbudget.extensions",
    ),
]


@pytest.mark.parametrize(("fields", "one", "other"), CONFLICTS, ids=str)
def test_what_cannot_both_hold_is_refused_by_both_names(
    fields: dict[str, Any], one: str, other: str
) -> None:
    error = post(chat(**fields)).json()["error"]
    assert error["code"] == "conflicting_budget"
    assert one in error["message"] and other in error["message"]


@pytest.mark.parametrize("name", ["thinking_token_budget", "thinking_budget"])
@pytest.mark.parametrize("value", [-2, "5", 5.0, True, 2**31])
def test_a_budget_that_is_no_number_of_tokens_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(chat() | {name: value})
    assert refused.value.field == name


@pytest.mark.parametrize(
    ("tokens", "cap", "clipped"),
    [(-1, 4096, None), (0, 0, None), (1, 1, None), (3000, 3000, None), (10**9, 4096, 10**9)],
)
def test_a_budget_above_the_room_is_clipped_and_told(
    tokens: int, cap: int, clipped: int | None
) -> None:
    reply = post(chat("hopeless question", thinking_token_budget=tokens)).json()
    decision = reply["thinkbudget"]["decision"]
    assert (decision["budget_tokens"], decision["clipped_from"]) == (cap, clipped)
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] <= cap


def test_tokens_cap_whatever_policy_is_named() -> None:
    options = {"policy": "majority", "samples": 3}
    told = post(chat("hopeless question", thinking_budget=9, thinkbudget=options)).json()
    assert told["thinkbudget"]["decision"]["samples"] == 3
    assert told["usage"]["completion_tokens_details"]["reasoning_tokens"] == 27


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("fields", "cap"), [({"thinking_token_budget": 5}, 5), ({"reasoning_effort": "none"}, 0)]
)
def test_every_policy_stays_within_a_cap(policy: str, fields: dict[str, Any], cap: int) -> None:
    reply = post(chat("medium question", **fields, thinkbudget={"policy": policy}))
    assert reply.status_code == 200, reply.text
    assert reply.json()["thinkbudget"]["decision"]["budget_tokens"] == cap


def test_tokens_may_raise_the_servers_own_cap() -> None:
    body = chat("hopeless question", thinking_budget=300)
    told = post(body, max_thinking_tokens=20, min_thinking_tokens=10).json()
    assert told["thinkbudget"]["decision"]["budget_tokens"] == 300


def test_pro_mode_lets_a_server_vote_that_would_not() -> None:
    told = post(chat(reasoning={"mode": "pro"})).json()["thinkbudget"]
    assert told["policy"] == "priced"
    assert post(chat(reasoning={"mode": "standard"})).json()["thinkbudget"]["policy"] == "fixed"
