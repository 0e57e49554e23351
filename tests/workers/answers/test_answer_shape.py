"""What requests ask of an answer is checked, and the answer is read accordingly."""

import json
from typing import Any

import pytest

from policies.plan import Budget
from policies.sampling import SamplingParams
from workers.answers.answer_shape import MOST_SCHEMA_BYTES, shape_of
from workers.engine import Refused, SampleRequest
from workers.sample import ToolCall

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
NAMED = {"type": "function", "function": {"name": "add"}}


def asking(**wishes: Any) -> SampleRequest:
    fields: dict[str, Any] = {name: json.dumps(wish) for name, wish in wishes.items()}
    return SampleRequest("q", (("user", "1+1?"),), (0,), Budget(10), SamplingParams(**fields))


def schema(value: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": value}}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"items": value}
    return value


@pytest.mark.parametrize(
    "wishes",
    [{}, {"response_format": {"type": "text"}}, {"tool_choice": "none"}, {"tools": []},
     {"tools": [TOOL], "tool_choice": "none"}],
)  # fmt: skip
def test_an_answer_is_free_text_unless_something_is_asked(wishes: dict[str, Any]) -> None:
    shape = shape_of(asking(**wishes))
    assert shape.plain and shape.tools is None
    assert shape.read("Final Answer: 1,200") == ("Final Answer: 1,200", (), "1200")


def test_json_is_compared_by_value() -> None:
    shape = shape_of(asking(response_format={"type": "json_object"}))
    assert shape.schema == '{"type":"object"}'
    text = '{"b": 1, "a": [2, null]}'
    assert shape.read(text) == (text, (), '{"a":[2,null],"b":1}')


def test_json_that_was_cut_short_is_no_answer() -> None:
    shape = shape_of(asking(response_format=schema({"type": "object"})))
    assert shape.read('{"a": ') == ('{"a": ', (), None)


def test_tools_may_be_called_or_not() -> None:
    shape = shape_of(asking(tools=[TOOL]))
    assert (shape.tools, shape.schema, shape.plain) == ([TOOL], None, False)
    call = '<tool_call>{"name": "add", "arguments": {}}</tool_call>'
    answer = '[{"arguments":{},"name":"add"}]'
    assert shape.read(f"So: {call}") == ("So:", (ToolCall("add", "{}"),), answer)
    assert shape.read("Final Answer: 7") == ("Final Answer: 7", (), "7")


@pytest.mark.parametrize(("choice", "text"), [
    (NAMED, '{"a":1}'), ("required", '[{"name":"add","arguments":{"a":1}}]'),
])  # fmt: skip
def test_a_tool_that_must_be_called_is(choice: Any, text: str) -> None:
    shape = shape_of(asking(tools=[TOOL], tool_choice=choice))
    assert shape.schema is not None and shape.forced
    rest, calls, _ = shape.read(text)
    assert (rest, calls) == ("", (ToolCall("add", '{"a": 1}'),))


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": schema([])}, "response_format"),
        ({"response_format": schema({"x": "y" * MOST_SCHEMA_BYTES})}, "response_format"),
        ({"response_format": schema(nested(33))}, "response_format"),
        (
            {"response_format": schema({"x": {str(key): 1 for key in range(257)}})},
            "response_format",
        ),
        ({"response_format": {"type": "json_object"}, "tools": [TOOL]}, "response_format"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": NAMED | {"function": {"name": "sub"}}, "tools": [TOOL]}, "tool_choice"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tools": ["add"]}, "tools"),
        ({"tools": [TOOL], "tool_choice": 3}, "tools"),
    ],
)
def test_what_cannot_be_is_refused_by_name(wishes: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as refused:
        shape_of(asking(**wishes))
    assert refused.value.field == field


def test_a_schema_of_the_greatest_depth_is_taken() -> None:
    assert shape_of(asking(response_format=schema(nested(32)))).schema is not None


def test_what_is_no_json_is_refused() -> None:
    request = SampleRequest(
        "q", (("user", "?"),), (0,), Budget(10), SamplingParams(response_format="{")
    )
    with pytest.raises(Refused, match="not JSON"):
        shape_of(request)
