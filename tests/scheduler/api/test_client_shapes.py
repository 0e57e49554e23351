"""What real clients send back of earlier replies, and leave empty, is taken."""

import json
from typing import Any

import httpx
import pytest

from scheduler.api.protocol import parse
from tests.scheduler.simulation import client_of, make_controller, post
from workers.simulated.clock import run_virtual

ASKED = {"role": "user", "content": "a=3 b=a*2 b?"}
AGAIN = {"role": "user", "content": "a=3 b=a*3 b?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def body(*turns: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "simulated", "messages": [*turns, AGAIN], **fields}


def responded(**fields: Any) -> httpx.Response:
    async def main() -> httpx.Response:
        async with client_of(await make_controller()) as client:
            return await client.post("/v1/responses", json={"model": "simulated"} | fields)

    return run_virtual(main())


TAKEN: list[tuple[list[dict[str, Any]], str]] = [
    ([ASKED, {"role": "assistant", "content": None}], ""),
    ([ASKED, {"role": "assistant"}], ""),
    ([ASKED, {"role": "assistant", "content": []}], ""),
    ([ASKED, {"role": "assistant", "content": None, "tool_calls": None}], ""),
    ([ASKED, {"role": "assistant", "content": None, "tool_calls": []}], ""),
    ([ASKED, {"role": "assistant", "content": None, "reasoning": "a=3"}], ""),
    ([ASKED, {"role": "assistant", "content": None, "refusal": "no"}], "no"),
    ([ASKED, {"role": "assistant", "content": "yes", "refusal": None}], "yes"),
    ([ASKED, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}], "no"),
    (
        [ASKED, {"role": "assistant", "content": [{"type": "text", "text": "a"},
                                                  {"type": "refusal", "refusal": "b"}]}],
        "ab",
    ),
    ([ASKED, {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"},
                                               {"type": "text", "text": "a"}]}], "a"),
    ([{"role": "system", "content": ""}], ""),
    ([{"role": "system", "content": None}], ""),
    ([{"role": "developer", "content": [{"type": "text", "text": ""}]}], ""),
    ([{"role": "user", "content": [{"type": "input_text", "text": "x"}]}], "x"),
    ([{"role": "assistant", "content": None, "tool_calls": [CALL]},
      {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "9"},
                                                         {"type": "text", "text": "8"}]}], "98"),
    ([{"role": "assistant", "content": None, "tool_calls": [CALL]},
      {"role": "tool", "tool_call_id": "c1", "content": None, "name": "ns.f"}], ""),
]  # fmt: skip


@pytest.mark.parametrize(("turns", "plain"), TAKEN, ids=str)
def test_a_history_as_clients_send_it_is_taken(turns: list[dict[str, Any]], plain: str) -> None:
    reply = post(body(*turns))
    assert reply.status_code == 200, reply.text
    assert parse(body(*turns)).messages[-2].plain == plain


@pytest.mark.parametrize(
    ("arguments", "written"), [({"a": 1}, '{"a": 1}'), (None, "{}"), ("", ""), ("{}", "{}")]
)
def test_arguments_may_come_as_they_are(arguments: object, written: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    (found,) = json.loads(parse(body(turn)).messages[0].extra)["tool_calls"]
    assert found["function"]["arguments"] == written


@pytest.mark.parametrize(
    ("turn", "field"),
    [
        ({"role": "user", "content": None}, "messages.0.content"),
        ({"role": "user", "content": ""}, "messages.0.content"),
        ({"role": "user"}, "messages.0.content"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages.0.content.0.text"),
        ({"role": "assistant", "content": [{"type": "refusal"}]}, "messages.0.content.0.refusal"),
        (
            {"role": "user", "content": [{"type": "refusal", "refusal": "no"}]},
            "messages.0.content.0.type",
        ),
    ],
    ids=str,
)
def test_a_question_must_say_something(turn: dict[str, Any], field: str) -> None:
    reply = post(body(turn))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, field)


@pytest.mark.parametrize("name", ["José", "Jo Smith", "Jürgen", "a" * 65, "x|y", "Ann."])
@pytest.mark.parametrize("role", ["user", "system", "assistant"])
def test_a_participants_name_is_refused_with_the_pattern(name: str, role: str) -> None:
    reply = post(body({"role": role, "name": name, "content": "hello"}))
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, "messages.0.name")
    assert "[a-zA-Z0-9_-]" in error["message"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "[a-zA-Z0-9_.-]"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "ü"}}}, "[a-zA-Z"),
        ({"tool_choice": "Required"}, "'Required'"),
    ],
)
def test_errors_keep_the_case_of_what_they_tell(fields: dict[str, Any], told: str) -> None:
    assert told in post(body(**fields)).json()["error"]["message"]


@pytest.mark.parametrize(
    "options", [None, {}, {"value": None, "learn": None, "stream": None, "policy": None}]
)
def test_null_in_our_own_field_is_as_if_it_were_not_there(options: object) -> None:
    assert post(body(thinkbudget=options)).status_code == 200


@pytest.mark.parametrize("extra", [{"thinking_token_budget": 8}, {"x": 1}, "text", [1]])
def test_a_literal_extra_body_is_named(extra: object) -> None:
    reply = post(body(extra_body=extra))
    assert reply.status_code == 200
    assert reply.headers["x-thinkbudget-ignored-fields"] == "extra_body"
    assert "x-thinkbudget-ignored-fields" not in post(body(extra_body={})).headers


@pytest.mark.parametrize("named", [{"name": "s"}, {"name": "s", "schema": None}])
def test_a_json_schema_may_lack_its_schema(named: dict[str, Any]) -> None:
    reply = post(body(response_format={"type": "json_schema", "json_schema": named}))
    assert reply.status_code == 200, reply.text
    assert isinstance(json.loads(reply.json()["choices"][0]["message"]["content"]), dict)


@pytest.mark.parametrize("most", [1, 2, 3, 8, 16, 40, 200])
@pytest.mark.parametrize("model", ["simulated", "simulated@off", "simulated@auto"])
def test_all_of_a_chain_is_within_max_completion_tokens(most: int, model: str) -> None:
    reply = post(body(max_completion_tokens=most, model=model))
    assert reply.status_code == 200
    spent = reply.json()["thinkbudget"]["spent"]
    assert spent["selected_tokens"] <= most
    assert reply.json()["usage"]["completion_tokens"] <= most * spent["chains"]


def test_a_context_error_is_recognised_and_adds_up() -> None:
    reply = post(body({"role": "user", "content": "word " * 9000}))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, "context_length_exceeded")
    assert "maximum context length is 4096 tokens" in error["message"]


MESSAGE = {"type": "message", "role": "user", "content": "a=3 b=a*3 b?"}
CALLED = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1"}
INPUTS: list[Any] = [
    [MESSAGE, CALLED, OUTPUT | {"output": [{"type": "input_text", "text": "9"}]}],
    [MESSAGE, CALLED, OUTPUT | {"output": [{"type": "output_text", "text": "9"}] * 2}],
    [MESSAGE, CALLED, OUTPUT | {"output": []}],
    [MESSAGE, CALLED, OUTPUT | {"output": "9"}],
    [MESSAGE, {"type": "item_reference", "id": "rs_0123456789abcdef"}, MESSAGE],
    [MESSAGE, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, MESSAGE],
    [MESSAGE, {"role": "assistant", "content": None}, MESSAGE],
    [{"role": "system", "content": ""}, MESSAGE],
]


@pytest.mark.parametrize("given", INPUTS, ids=str)
def test_responses_take_the_same(given: Any) -> None:
    reply = responded(input=given)
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(
    ("output", "field"),
    [
        ([{"type": "input_image", "image_url": "x"}], "input.1.output.0.type"),
        ([{"type": "input_text"}], "input.1.output.0.text"),
        (7, "input.1.output"),
    ],
)
def test_other_outputs_are_refused_by_name(output: Any, field: str) -> None:
    reply = responded(input=[MESSAGE, OUTPUT | {"output": output}])
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, field)


@pytest.mark.parametrize("item", ["msg_1", "fc_1", "", None, 7])
def test_only_reasoning_may_be_referred_to(item: object) -> None:
    reply = responded(input=[MESSAGE, {"type": "item_reference", "id": item}])
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_parameter")


@pytest.mark.parametrize("store", [True, False, None])
def test_store_is_answered_and_nothing_is_stored(store: bool | None) -> None:
    reply = responded(input="a=3 b=a*3 b?", store=store)
    assert (reply.status_code, reply.json()["store"]) == (200, False)
