"""Anthropic's Messages: text, thinking, tools and errors in its shapes, whole and streamed."""

import json
from typing import Any

import httpx
import pytest

from tests.scheduler.simulation import client_of, make_controller
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine

PATH = "/v1/messages"
TOOL = {"name": "add", "description": "d", "input_schema": {"type": "object"}}
THINKING = {"type": "enabled", "budget_tokens": 300}
ASKED = {"role": "user", "content": "easy question"}


def asked(
    engine: SimulatedEngine | None = None, *, without: str = "", **fields: Any
) -> httpx.Response:
    body: dict[str, Any] = {"model": "simulated", "max_tokens": 1000, "messages": [ASKED]}
    body |= fields
    body.pop(without, None)

    async def main() -> httpx.Response:
        async with client_of(await make_controller(engine)) as client:
            return await client.post(PATH, json=body)

    return run_virtual(main())


def events(reply: httpx.Response) -> list[dict[str, Any]]:
    found = []
    for frame in reply.text.split("\n\n")[:-1]:
        name, data = frame.split("\n")
        body = json.loads(data.removeprefix("data: "))
        assert name == f"event: {body['type']}"
        found.append(body)
    return found


def rebuilt(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks that a client puts together from a stream."""
    blocks: list[dict[str, Any]] = []
    for event in told:
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            assert event["index"] == len(blocks) - 1
            delta, block = dict(event["delta"]), blocks[-1]
            kind = delta.pop("type")
            if kind == "input_json_delta":
                block["input"] = json.loads(delta["partial_json"])
            else:
                assert kind in ("text_delta", "thinking_delta", "signature_delta")
                for name, text in delta.items():
                    block[name] += text
    return blocks


def test_a_message_has_anthropics_shape() -> None:
    whole = asked().json()
    assert whole["id"].startswith("msg_")
    assert (whole["type"], whole["role"], whole["model"]) == ("message", "assistant", "simulated")
    (block,) = whole["content"]
    assert block["type"] == "text" and block["text"].startswith("Final Answer: ")
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("end_turn", None)
    assert whole["usage"]["input_tokens"] > 0 and whole["usage"]["output_tokens"] > 0
    assert whole["thinkbudget"]["policy"] == "fixed"


def test_thinking_comes_to_those_who_ask_for_it() -> None:
    thought, text = asked(thinking=THINKING).json()["content"]
    assert thought["type"] == "thinking" and thought["thinking"] and thought["signature"]
    assert text["type"] == "text"
    assert len(asked(thinking={"type": "adaptive"}).json()["content"]) == 2
    assert len(asked(thinking={"type": "disabled"}).json()["content"]) == 1
    hidden = asked(thinking=THINKING | {"display": "omitted"}).json()["content"][0]
    assert (hidden["type"], hidden["thinking"]) == ("thinking", "")


@pytest.mark.parametrize("budget", [1, 20, 300])
def test_budget_tokens_caps_the_thinking(budget: int) -> None:
    body = asked(thinking={"type": "enabled", "budget_tokens": budget}).json()
    assert body["thinkbudget"]["spent"]["by_kind"]["reasoning"] <= budget
    assert body["thinkbudget"]["decision"]["budget_tokens"] == budget


@pytest.mark.parametrize("thinking", [None, THINKING])
@pytest.mark.parametrize("policy", ["fixed", "majority"])
@pytest.mark.parametrize("stop", [None, ["Answer"]])
def test_a_stream_tells_the_same_as_a_whole_message(thinking: Any, policy: str, stop: Any) -> None:
    fields = {"thinking": thinking, "thinkbudget": {"policy": policy}, "stop_sequences": stop}
    whole, told = asked(**fields).json(), events(asked(stream=True, **fields))
    assert told[0]["type"] == "message_start" and told[-1]["type"] == "message_stop"
    start, delta = told[0]["message"], told[-2]
    assert (start["content"], start["stop_reason"]) == ([], None)
    assert start["usage"]["input_tokens"] == whole["usage"]["input_tokens"]
    assert delta["type"] == "message_delta"
    assert delta["delta"] == {key: whole[key] for key in ("stop_reason", "stop_sequence")}
    assert delta["usage"]["output_tokens"] > 0
    blocks = rebuilt(told)
    assert [block["type"] for block in blocks] == [each["type"] for each in whole["content"]]
    assert blocks[-1]["text"].startswith("Final")
    opened = [event["type"] for event in told if event["type"] != "content_block_delta"][1:-2]
    assert opened == ["content_block_start", "content_block_stop"] * len(blocks)


def test_the_stop_that_ended_it_is_named() -> None:
    body = asked(stop_sequences=["nowhere", "Answer"]).json()
    assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", "Answer")
    assert body["content"] == [{"type": "text", "text": "Final "}]
    assert asked(stop_sequences=["nowhere"]).json()["stop_reason"] == "end_turn"


@pytest.mark.parametrize("most", [1, 4, 12])
def test_a_message_that_was_cut_says_so(most: int) -> None:
    body = asked(max_tokens=most, messages=[{"role": "user", "content": "hopeless one"}]).json()
    assert body["stop_reason"] == "max_tokens"
    assert body["usage"]["output_tokens"] <= most


@pytest.mark.parametrize("choice", ["auto", "any", "tool"])
def test_tools_are_used(choice: str) -> None:
    wish = {"type": choice, "disable_parallel_tool_use": True}
    wish |= {"name": "add"} if choice == "tool" else {}
    fields: dict[str, Any] = {"tools": [TOOL], "tool_choice": wish}
    whole = asked(**fields).json()
    (call,) = [block for block in whole["content"] if block["type"] == "tool_use"]
    assert (call["name"], whole["stop_reason"]) == ("add", "tool_use")
    assert isinstance(call["input"], dict) and call["id"]
    (again,) = rebuilt(events(asked(stream=True, **fields)))
    assert (again["name"], again["input"].keys()) == ("add", call["input"].keys())


def test_a_tool_that_may_not_be_used_is_not() -> None:
    body = asked(tools=[TOOL], tool_choice={"type": "none"}).json()
    assert [block["type"] for block in body["content"]] == ["text"]


HISTORY = [
    ASKED,
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "I add."},
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
    ]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "3"},
        {"type": "text", "text": "And now?", "cache_control": {"type": "ephemeral"}},
    ]},
]  # fmt: skip


@pytest.mark.parametrize(
    "result",
    ["3", [{"type": "text", "text": "3"}], [], None],
)
@pytest.mark.parametrize("system", [None, "", "Be brief.", [{"type": "text", "text": "Be."}]])
def test_a_history_with_tools_is_taken(result: Any, system: Any) -> None:
    messages = json.loads(json.dumps(HISTORY))
    messages[2]["content"][0]["content"] = result
    reply = asked(messages=messages, tools=[TOOL], system=system)
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("effort", ["low", "max"])
def test_efforts_and_formats_are_heeded(effort: str) -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}}
    wish = {"effort": effort, "format": {"type": "json_schema", "schema": schema}}
    body = asked(output_config=wish).json()
    assert body["thinkbudget"]["effort"]["level"] == effort
    assert isinstance(json.loads(body["content"][0]["text"]), dict)


IMAGE = {"type": "image", "source": {"type": "url", "url": "http://10.0.0.1/x.png"}}
REFUSED: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({"without": "max_tokens"}, 400, "invalid_request_error", "max_tokens"),
    ({"without": "messages"}, 400, "invalid_request_error", "messages"),
    ({"max_tokens": 0}, 400, "invalid_request_error", "max_tokens"),
    ({"max_tokens": True}, 400, "invalid_request_error", "max_tokens"),
    ({"messages": []}, 400, "invalid_request_error", "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, 400, "invalid_request_error",
     "messages.0.role"),
    ({"messages": [{"role": "user", "content": [IMAGE]}]}, 400, "invalid_request_error",
     "messages.0.content.0.type"),
    ({"messages": [{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "x", "content": [IMAGE]}]}]},
     400, "invalid_request_error", "messages.0.content.0.content.0.type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, 400,
     "invalid_request_error", "messages.0.content.0.text"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, 400,
     "invalid_request_error", "messages.0.content.0.tool_use_id"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1000}}, 400, "invalid_request_error",
     "max_tokens"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, 400,
     "invalid_request_error", "tools.0.type"),
    ({"tool_choice": {"type": "tool", "name": "no"}, "tools": [TOOL]}, 400,
     "invalid_request_error", "tool_choice"),
    ({"stop_sequences": ["a"] * 5}, 400, "invalid_request_error", "stop_sequences"),
    ({"temperature": 9}, 400, "invalid_request_error", "temperature"),
    ({"model": "claude"}, 404, "not_found_error", "model"),
    ({"messages": [{"role": "user", "content": "word " * 9000}]}, 400, "invalid_request_error",
     "messages"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "status", "kind", "param"), REFUSED, ids=str)
@pytest.mark.parametrize("streamed", [False, True])
def test_errors_have_anthropics_shape(
    fields: dict[str, Any], status: int, kind: str, param: str | None, streamed: bool
) -> None:
    reply = asked(stream=streamed, **fields)
    body = reply.json()
    assert (reply.status_code, body["type"]) == (status, "error"), body
    assert (body["error"]["type"], body["error"]["param"]) == (kind, param)
    assert body["error"]["message"]


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"max_tokens": NaN}'])
def test_what_is_no_json_object_too(raw: bytes) -> None:
    async def main() -> httpx.Response:
        async with client_of(await make_controller()) as client:
            return await client.post(PATH, content=raw)

    body = run_virtual(main()).json()
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")


def test_ignored_fields_are_named() -> None:
    reply = asked(top_k=5, metadata={"user_id": "me"}, thinking_level="high", speed="fast")
    assert reply.headers["x-thinkbudget-ignored-fields"] == "thinking_level, top_k"
