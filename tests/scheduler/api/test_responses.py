"""/v1/responses, as OpenAI's own client reads it."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import httpx
import httpx2
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from scheduler.api.app import make_app
from scheduler.api.responses import shape
from tests.scheduler.simulation import client_of, make_controller
from workers.engine import EngineEvent, SampleRequest
from workers.sample import Accepted, Sample, ToolCall, lost
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine

PATH = "/v1/responses"
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
THINKING = [
    "response.output_item.added",
    "response.content_part.added",
    "response.reasoning_text.delta",
    "response.reasoning_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
SAYING = [kind.replace("reasoning_text", "output_text") for kind in THINKING]


def asked(
    policy: str = "fixed", *, engine: SimulatedEngine | None = None, **fields: Any
) -> httpx.Response:
    body = {"model": "simulated", "input": "easy question"} | fields

    async def main() -> httpx.Response:
        async with client_of(await make_controller(engine, policy=policy)) as client:
            return await client.post(PATH, json=body)

    return run_virtual(main())


def streamed(policy: str = "fixed", **fields: Any) -> list[dict[str, Any]]:
    reply = asked(policy, stream=True, **fields)
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = []
    for frame in reply.text.split("\n\n"):
        if frame and frame[0] != ":":
            name, data = frame.split("\n")
            events.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {events[-1]['type']}"
    return events


@pytest.mark.parametrize("policy", ["fixed", "majority", "priced"])
def test_a_response_is_of_openais_shape(policy: str) -> None:
    whole = asked(policy, instructions="be brief", metadata={"query_class": "sums"}).json()
    response = Response.model_validate(whole)
    assert response.status == "completed"
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert "Answer" in response.output_text
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert 0 < response.usage.output_tokens_details.reasoning_tokens < response.usage.output_tokens
    assert (whole["store"], whole["instructions"]) == (False, "be brief")
    assert whole["thinkbudget"]["query_class"] == "sums"
    assert whole["id"] == f"resp_{whole['thinkbudget']['outcome_id']}"


@pytest.mark.parametrize("policy", ["fixed", "majority", "priced"])
def test_a_stream_has_openais_events_in_their_order(policy: str) -> None:
    events = streamed(policy)
    for event in events:
        EVENTS.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    once = [kind for at, kind in enumerate(kinds) if at == 0 or kind != kinds[at - 1]]
    assert once == [
        "response.created",
        "response.in_progress",
        *THINKING,
        *SAYING,
        "response.completed",
    ]


@pytest.mark.parametrize("whose", ["lead", "winner", "none"])
def test_a_stream_comes_to_what_its_last_event_says(whose: str) -> None:
    events = streamed("majority", thinkbudget={"stream": whose})
    last = events[-1]["response"]
    for part in ("reasoning_text", "output_text"):
        deltas = "".join(e["delta"] for e in events if e["type"] == f"response.{part}.delta")
        texts = [p["text"] for i in last["output"] for p in i["content"] if p["type"] == part]
        assert deltas == "".join(texts)
    done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    assert done == last["output"]
    assert done[-1]["type"] == "message"
    assert any(item["type"] == "reasoning" for item in done) is (whose != "none")


async def test_openais_client_reads_responses_and_streams() -> None:
    app = make_app(await make_controller())
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test")
    client = AsyncOpenAI(base_url="http://test/v1", api_key="none", http_client=http)
    whole = await client.responses.create(model="simulated", input="easy question")
    async with client.responses.stream(model="simulated", input="easy question") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert final.output_text == whole.output_text != ""
    await client.close()


def test_an_answer_that_was_cut_is_incomplete() -> None:
    fields: dict[str, Any] = {"max_output_tokens": 8}
    assert asked(**fields).json()["status"] == "incomplete"
    last = streamed(**fields)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    EVENTS.validate_python(last)


class Dying(SimulatedEngine):
    """Takes a request, and dies before it has answered; so do all its successors."""

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        async with aclosing(super().sample(request)) as events:
            async for event in events:
                if isinstance(event, Accepted):
                    yield event
        for chain in request.chains:
            yield lost(chain)


def test_what_fails_on_the_way_ends_with_failed() -> None:
    last = streamed(engine=Dying())[-1]
    EVENTS.validate_python(last)
    assert last["type"] == "response.failed"
    assert "engine_unavailable" in last["response"]["error"]["message"]


def test_a_conversation_with_calls_comes_to_the_same_turns() -> None:
    items = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "input_text", "text": "2+2"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "4"},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
         "content": [{"type": "output_text", "text": "4", "annotations": []}]},
    ]  # fmt: skip
    tool = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": True}
    schema = {"type": "json_schema", "name": "sum", "schema": {"type": "object"}, "strict": True}
    body = {
        "model": "simulated",
        "input": items,
        "instructions": "first",
        "max_output_tokens": 900,
        "tools": [tool],
        "tool_choice": {"type": "function", "name": "add"},
        "text": {"format": schema},
        "reasoning": {"effort": "low", "summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    chat = shape.as_chat(shape.parse(body))
    roles = [turn["role"] for turn in chat["messages"]]
    assert roles == ["system", "developer", "user", "assistant", "tool", "assistant"]
    assert chat["messages"][3]["tool_calls"][0]["function"] == {"name": "add", "arguments": "{}"}
    assert chat["tools"][0]["function"]["name"] == "add"
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert chat["response_format"]["json_schema"]["name"] == "sum"
    assert (chat["max_completion_tokens"], chat["reasoning"]["effort"]) == (900, "low")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "unsupported_parameter"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type", "unsupported_parameter"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input.0.content.0.type",
            "unsupported_parameter",
        ),
        ({"input": ""}, "input", "invalid_value"),
        ({"input": "   "}, "input", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": 5}, "input", "invalid_value"),
        ({"input": [{"role": "king", "content": "x"}]}, "input.0.role", "invalid_value"),
        (
            {"input": [{"type": "item_reference", "id": "x"}]},
            "input.0.type",
            "unsupported_parameter",
        ),
        ({"input": [7]}, "input.0", "invalid_value"),
        ({"input": "word " * 9000}, "input", "context_length_exceeded"),
        ({"max_output_tokens": True}, "max_output_tokens", "invalid_value"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"temperature": 3.0}, "temperature", "invalid_value"),
        ({"model": "gpt-4"}, "model", "model_not_found"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
    ],
)
def test_what_cannot_be_is_refused_by_its_own_field(
    fields: dict[str, Any], param: str, code: str
) -> None:
    for stream in (False, True):
        reply = asked(stream=stream, **fields)
        error = reply.json()["error"]
        assert reply.status_code in (400, 404)
        assert (error["param"], error["code"]) == (param, code)


class Calling(SimulatedEngine):
    """Its chains call a tool, and say nothing."""

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        calls = (ToolCall("add", '{"a": 1}'), ToolCall("add", '{"a": 2}'))
        async with aclosing(super().sample(request)) as events:
            async for event in events:
                if isinstance(event, Sample):
                    event = replace(event, text="", tool_calls=calls)
                yield event


def test_calls_are_items_of_their_own() -> None:
    tools = [{"type": "function", "name": "add", "parameters": {"type": "object"}}]
    whole = asked(engine=Calling(), tools=tools)
    response = Response.model_validate(whole.json())
    assert [item.type for item in response.output] == ["reasoning", *2 * ["function_call"]]
    events = streamed(engine=Calling(), tools=tools)
    for event in events:
        EVENTS.validate_python(event)
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == events[-1]["response"]["output"]
    texts = [e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta"]
    assert texts == ['{"a": 1}', '{"a": 2}']
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
