"""Calls are found in what models write, and what is no whole call stays text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.answers.tool_calls import (
    as_answer,
    canonical,
    forced_calls,
    forced_schema,
    tagged_calls,
)
from workers.sample import ToolCall

NAMES = {"add", "find"}
ADD = ToolCall("add", '{"a": 1, "b": 2}')
WRITTEN = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def test_a_call_is_taken_out_of_the_text_around_it() -> None:
    assert tagged_calls(f"I will add.\n{WRITTEN}\n", NAMES) == ("I will add.", (ADD,))


def test_several_calls_keep_their_order() -> None:
    text = WRITTEN + '<tool_call>{"name": "find", "arguments": {}}</tool_call>'
    assert tagged_calls(text, NAMES) == ("", (ADD, ToolCall("find", "{}")))


def test_a_call_whose_end_tag_is_missing_counts() -> None:
    assert tagged_calls(WRITTEN.removesuffix("</tool_call>"), NAMES) == ("", (ADD,))


def test_tags_inside_of_arguments_are_arguments() -> None:
    arguments = {"text": 'a </tool_call> <tool_call>{"name": "add", "arguments": {}} b'}
    text = f"<tool_call>{json.dumps({'name': 'find', 'arguments': arguments})}</tool_call>"
    rest, (call,) = tagged_calls(text, NAMES)
    assert rest == ""
    assert json.loads(call.arguments) == arguments


@pytest.mark.parametrize(
    "broken",
    [
        "<tool_call>",
        "<tool_call>{",
        "<tool_call>nothing</tool_call>",
        '<tool_call>{"name": "add"}</tool_call>',
        '<tool_call>{"name": "add", "arguments": "a=1"}</tool_call>',
        '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>',
        '<tool_call>{"name": "drop", "arguments": {}}</tool_call>',
        '<tool_call>{"name": ["add"], "arguments": {}}</tool_call>',
        '<tool_call>[{"name": "add", "arguments": {}}]</tool_call>',
        "<tool_call>" + "[" * 5000,
        WRITTEN.replace("}}", "}"),
    ],
)
def test_a_broken_call_stays_text(broken: str) -> None:
    assert tagged_calls(broken, NAMES) == (broken, ())
    assert tagged_calls(f"{broken} {WRITTEN}", NAMES) == (broken, (ADD,))


@given(st.text())
def test_text_without_a_tag_is_left_alone(text: str) -> None:
    assert tagged_calls(text, NAMES) == (text.strip(), ())


@given(st.dictionaries(st.text(), JSON, max_size=4), st.text(alphabet="ab <>{}\n"))
def test_whatever_the_arguments_are_they_come_through(arguments: Any, around: str) -> None:
    written = json.dumps({"name": "add", "arguments": arguments}, ensure_ascii=False)
    rest, (call,) = tagged_calls(f"{around}<tool_call>{written}</tool_call>{around}", NAMES)
    assert json.loads(call.arguments) == arguments
    assert rest == (around + around).strip()


def test_chains_that_call_alike_vote_alike() -> None:
    other = ToolCall("add", '{"b":2,"a":1}')
    assert as_answer([ADD]) == as_answer([other]) == '[{"arguments":{"a":1,"b":2},"name":"add"}]'
    assert as_answer([ADD]) != as_answer([ADD, other])


def test_a_forced_call_is_all_of_the_answer() -> None:
    assert forced_calls(' {"a": 1, "b": 2}\n', NAMES, "add") == (ADD,)
    listed = '[{"name": "add", "arguments": {"a": 1, "b": 2}}]'
    assert forced_calls(listed, NAMES, None) == (ADD,)


@pytest.mark.parametrize("text", ['{"a": 1', "[1]", "", "[]", '[{"name": "drop"}]', "3"])
def test_a_forced_call_that_was_cut_short_is_none(text: str) -> None:
    assert forced_calls(text, NAMES, None) == ()


FUNCTIONS: list[dict[str, Any]] = [
    {"name": "add", "parameters": {"type": "object", "$defs": {"n": {"type": "number"}}}},
    {"name": "find"},
]


def test_the_schema_of_one_tool_is_that_of_its_arguments() -> None:
    assert forced_schema(FUNCTIONS, "add") == FUNCTIONS[0]["parameters"]
    assert forced_schema(FUNCTIONS, "find") == {"type": "object"}


def test_the_schema_of_any_tool_is_a_list_of_calls_with_definitions_at_the_root() -> None:
    schema = forced_schema(FUNCTIONS, None)
    assert schema["$defs"] == {"n": {"type": "number"}}
    choices = schema["items"]["anyOf"]
    assert [each["properties"]["name"]["const"] for each in choices] == ["add", "find"]
    assert choices[0]["properties"]["arguments"] == {"type": "object"}


def test_definitions_of_one_name_that_differ_are_refused() -> None:
    other = {"name": "b", "parameters": {"$defs": {"n": {"type": "string"}}}}
    with pytest.raises(ValueError, match=r"\$defs\.n"):
        forced_schema([*FUNCTIONS, other], None)


@given(JSON)
def test_the_canonical_form_is_json_of_the_same_value(value: Any) -> None:
    assert json.loads(canonical(value)) == value
