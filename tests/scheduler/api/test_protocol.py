"""A request body is taken as OpenAI's clients send it, or refused by the field at fault."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.api.protocol import ChatRequest, parse
from scheduler.errors import InvalidRequest
from tests.scheduler.simulation import chat

HUGE = 10**30
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
TURN = {"role": "user", "content": "hello"}


def test_a_plain_request_is_taken_with_its_defaults() -> None:
    request = parse(chat("hello"))
    assert isinstance(request, ChatRequest)
    assert [turn.plain for turn in request.messages] == ["hello"]
    assert (request.stream, request.temperature, request.stops) == (None, None, [])
    assert (request.most_tokens, request.thinkbudget.policy) == (None, None)
    assert request.thinkbudget.learn


def test_fields_that_are_not_known_are_ignored() -> None:
    request = parse(chat(service_tier="auto", seed=7, user="someone", logit_bias={}))
    assert request.model == "simulated"


def test_content_may_come_in_parts() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    request = parse({"model": "m", "messages": [{"role": "user", "content": parts}]})
    assert request.messages[0].plain == "one two"


@pytest.mark.parametrize(
    ("stop", "stops"), [(None, []), ("a", ["a"]), (["a", "b"], ["a", "b"]), ([], [])]
)
def test_stop_is_a_text_or_a_list_of_texts(stop: object, stops: list[str]) -> None:
    assert parse(chat(stop=stop)).stops == stops


def test_max_completion_tokens_goes_before_the_older_max_tokens() -> None:
    assert parse(chat(max_tokens=7)).most_tokens == 7
    assert parse(chat(max_tokens=7, max_completion_tokens=9)).most_tokens == 9


def test_what_thinkbudget_does_not_name_is_an_option_of_the_policy() -> None:
    options = parse(
        chat(thinkbudget={"policy": "majority", "samples": 3, "value": 2.0})
    ).thinkbudget
    assert options.policy_options == {"samples": 3}
    assert (options.policy, options.value) == ("majority", 2.0)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": ""}, "model"),
    ({"model": 7}, "model"),
    ({"model": None}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content"),
    ({"messages": [TURN, {"role": "user"}]}, "messages.1.content"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages.0.content"),
    ({"messages": [{"role": "robot", "content": "hello"}]}, "messages.0.role"),
    ({"messages": [{"content": "hello"}]}, "messages.0.role"),
    ({"messages": ["hello"]}, "messages.0"),
    ({"n": 17}, "n"),
    ({"n": -1}, "n"),
    ({"n": 10**9}, "n"),
    ({"n": 0}, "n"),
    ({"n": "1"}, "n"),
    ({"n": True}, "n"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"temperature": float("inf")}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": HUGE}, "max_tokens"),
    ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ({"stream": "perhaps"}, "stream"),
    ({"stop": 7}, "stop"),
    ({"stream_options": {"include_usage": "perhaps"}}, "stream_options.include_usage"),
    ({"max_tokens": 2**63}, "max_tokens"),
    ({"temperature": 1e9}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_p": True}, "top_p"),
    ({"presence_penalty": 3}, "presence_penalty"),
    ({"seed": 2**64}, "seed"),
    ({"seed": True}, "seed"),
    ({"seed": 1.0}, "seed"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 10**6}, "top_logprobs"),
    ({"logprobs": 1}, "logprobs"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"stop": "x" * 1001}, "stop"),
    ({"stop": "x" * 2**20}, "stop"),
    ({"stop": ["a", 7]}, "stop"),
    ({"stream": 1}, "stream"),
    ({"metadata": {"a": 7}}, "metadata.a"),
    ({"metadata": {"a": "x" * 513}}, "metadata.a"),
    ({"metadata": {"x" * 65: "a"}}, "metadata." + "x" * 65),
    ({"metadata": {str(n): "a" for n in range(17)}}, "metadata"),
    ({"service_tier": "fast"}, "service_tier"),
    ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
    ({"messages": [{"role": "tool", "content": "4"}]}, "messages.0.tool_call_id"),
    (
        {"messages": [{"role": "user", "content": "a", "tool_calls": []}]},
        "messages.0.tool_calls",
    ),
    ({"messages": [TURN] * 10_000}, "messages"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
    ({"tools": [{"type": "retrieval"}]}, "tools.0.type"),
    ({"tools": [TOOL, TOOL]}, "tools"),
    ({"tools": [TOOL] * 129}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "b"}}},
        "tool_choice",
    ),
    ({"response_format": {"type": "yaml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    ({"reasoning_effort": "huge"}, "reasoning_effort"),
    ({"thinking": {"type": "sometimes"}}, "thinking.type"),
    ({"thinkbudget": {"stream": "all"}}, "thinkbudget.stream"),
    ({"thinkbudget": {"learn": 1}}, "thinkbudget.learn"),
    ({"thinkbudget": "priced"}, "thinkbudget"),
    ({"thinkbudget": {"policy": 7}}, "thinkbudget.policy"),
    ({"thinkbudget": {"max_total_tokens": 0}}, "thinkbudget.max_total_tokens"),
    ({"thinkbudget": {"max_total_tokens": -5}}, "thinkbudget.max_total_tokens"),
    ({"thinkbudget": {"max_total_tokens": True}}, "thinkbudget.max_total_tokens"),
    ({"thinkbudget": {"max_total_tokens": "9"}}, "thinkbudget.max_total_tokens"),
    ({"thinkbudget": {"max_total_tokens": HUGE}}, "thinkbudget.max_total_tokens"),
    ({"thinkbudget": {"deadline_seconds": 0}}, "thinkbudget.deadline_seconds"),
    ({"thinkbudget": {"deadline_seconds": 1e-101}}, "thinkbudget.deadline_seconds"),
    ({"thinkbudget": {"deadline_seconds": 1e9}}, "thinkbudget.deadline_seconds"),
    ({"thinkbudget": {"deadline_seconds": float("nan")}}, "thinkbudget.deadline_seconds"),
    ({"thinkbudget": {"target_accuracy": 0}}, "thinkbudget.target_accuracy"),
    ({"thinkbudget": {"target_accuracy": 1.5}}, "thinkbudget.target_accuracy"),
    ({"thinkbudget": {"value": 0}}, "thinkbudget.value"),
    ({"thinkbudget": {"value": float("inf")}}, "thinkbudget.value"),
    ({"thinkbudget": {"value": True}}, "thinkbudget.value"),
    ({"thinkbudget": {"query_class": ""}}, "thinkbudget.query_class"),
    ({"thinkbudget": {"query_class": "x" * 101}}, "thinkbudget.query_class"),
    ({"thinkbudget": {"reference_answer": "x" * 1001}}, "thinkbudget.reference_answer"),
]


@pytest.mark.parametrize(("fields", "field"), REFUSED, ids=str)
def test_what_is_wrong_is_refused_by_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(chat() | fields)
    error = refused.value.as_dict()["error"]
    assert isinstance(error, dict)
    assert refused.value.status == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] == field
    assert field in error["message"]
    assert len(error["message"]) <= 1000
    assert isinstance(error["code"], str)


PICTURE = {"type": "image_url", "image_url": {"url": "http://10.0.0.1/a.png"}}
UNSUPPORTED: list[tuple[dict[str, Any], str]] = [
    ({"chat_template": "{{ x }}"}, "chat_template"),
    ({"chat_template_kwargs": {"chat_template": "{{ x }}"}}, "chat_template_kwargs.chat_template"),
    ({"documents": []}, "documents"),
    ({"vllm_xargs": {"a": 1}}, "vllm_xargs"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    (
        {"messages": [TURN, {"role": "user", "content": [{"type": "text", "text": "a"}, PICTURE]}]},
        "messages.1.content.1.type",
    ),
]


@pytest.mark.parametrize(("fields", "field"), UNSUPPORTED, ids=str)
def test_code_for_the_engine_and_media_are_not_supported(
    fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(chat() | fields)
    assert (refused.value.field, refused.value.code) == (field, "unsupported_parameter")


def test_what_clients_send_beside_the_question_is_taken() -> None:
    request = parse(
        chat(
            store=True, prompt_cache_key="k", ignore_eos=True, stop=None, safety_identifier="s",
            stream_options={"include_usage": True, "continuous_usage_stats": True}, user=None,
        )
    )  # fmt: skip
    assert request.wants_usage
    assert request.tenant == "s"


def test_a_conversation_with_tools_is_taken() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    turns = [
        TURN,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
        {"role": "assistant", "content": "", "reasoning_content": "hm"},
    ]
    request = parse(chat(tools=[TOOL], tool_choice="auto") | {"messages": turns})
    _, asked, told, empty = request.messages
    assert json.loads(asked.extra) == {"tool_calls": [call]}
    assert json.loads(told.extra) == {"tool_call_id": "c1"}
    assert json.loads(empty.extra) == {"reasoning": "hm"}
    assert request.messages[0].extra == ""


@pytest.mark.parametrize("body", [None, [], "hello", 7, True])
def test_a_body_must_be_an_object(body: object) -> None:
    with pytest.raises(InvalidRequest, match="JSON object"):
        parse(body)


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_missing_field_is_named(name: str) -> None:
    body = chat()
    del body[name]
    with pytest.raises(InvalidRequest) as refused:
        parse(body)
    assert refused.value.field == name


def test_a_long_value_is_not_told_back() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(chat(temperature="hot" * 100_000))
    assert len(refused.value.message) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(field=st.sampled_from([*ChatRequest.model_fields]), value=JSON)
def test_any_value_of_any_field_is_taken_or_refused(field: str, value: object) -> None:
    body = json.loads(json.dumps(chat() | {field: value}))
    try:
        assert isinstance(parse(body), ChatRequest)
    except InvalidRequest as refused:
        assert refused.field is not None
        assert refused.field.startswith(field)
