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
TURN = {"role": "user", "content": "hello"}


def test_a_plain_request_is_taken_with_its_defaults() -> None:
    request = parse(chat("hello"))
    assert isinstance(request, ChatRequest)
    assert [turn.plain for turn in request.messages] == ["hello"]
    assert (request.stream, request.temperature, request.stops) == (False, None, [])
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
    ({"n": 2}, "n"),
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
    ({"thinkbudget": "priced"}, "thinkbudget"),
    ({"thinkbudget": {"policy": 7}}, "thinkbudget.policy"),
    ({"thinkbudget": {"max_total_tokens": 0}}, "thinkbudget.max_total_tokens"),
    ({"thinkbudget": {"max_total_tokens": -5}}, "thinkbudget.max_total_tokens"),
    ({"thinkbudget": {"max_total_tokens": True}}, "thinkbudget.max_total_tokens"),
    ({"thinkbudget": {"max_total_tokens": "9"}}, "thinkbudget.max_total_tokens"),
    ({"thinkbudget": {"max_total_tokens": HUGE}}, "thinkbudget.max_total_tokens"),
    ({"thinkbudget": {"deadline_seconds": 0}}, "thinkbudget.deadline_seconds"),
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


def test_a_long_message_of_an_error_is_cut() -> None:
    error = InvalidRequest("x" * 5000, field="model").as_dict()["error"]
    assert error == {
        "message": "x" * 1000,
        "type": "invalid_request_error",
        "param": "model",
        "code": "invalid_value",
    }


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
