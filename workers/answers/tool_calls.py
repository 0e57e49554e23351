"""Calls of tools inside an answer's text, and the JSON schema of an answer that must be calls.

Models of the Hermes and Qwen families write `{"name": ..., "arguments": {...}}` between
`<tool_call>` and `</tool_call>`, with prose around it; where a call is forced, the whole answer is
JSON. A call that is broken, or names a tool that there is not, stays text.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

from workers.sample import ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"
MOST_CALLS = 8


def _not_json(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_not_json)
_BROKEN = (ValueError, RecursionError)


def tagged_calls(text: str, names: Collection[str]) -> tuple[str, tuple[ToolCall, ...]]:
    """The text without the calls in it, and the calls."""
    rest, calls, at = "", [], 0
    while (tag := text.find(OPEN, at)) >= 0:
        begin = _skip_space(text, tag + len(OPEN))
        try:
            # To the end of the JSON, not to the next tag: that may be inside of an argument.
            found, end = _DECODER.raw_decode(text, begin)
        except _BROKEN:
            found, end = None, begin
        if (call := _call(found, names)) is None:
            rest += text[at:end]
        else:
            rest += text[at:tag]
            calls.append(call)
            end = _skip_space(text, end)
            end += len(CLOSE) if text.startswith(CLOSE, end) else 0
        at = end
    return (rest + text[at:]).strip(), tuple(calls)


def forced_calls(text: str, names: Collection[str], only: str | None) -> tuple[ToolCall, ...]:
    """The calls in an answer that `forced_schema` has held to; `only` is the tool it was made for.

    There are none in one that was cut short.
    """
    try:
        found = parse(text)
    except ValueError:
        return ()
    listed = [{"name": only, "arguments": found}] if only else found
    if not isinstance(listed, list):
        return ()
    calls = [call for item in listed if (call := _call(item, names)) is not None]
    return tuple(calls) if len(calls) == len(listed) else ()


def forced_schema(
    functions: Sequence[dict[str, Any]], only: str | None, most: int = MOST_CALLS
) -> dict[str, Any]:
    """For one tool its arguments' schema, else that of a list of at most so many calls: a model
    might list them until its answer is cut.
    """
    if only is not None:
        return next(_parameters(function) for function in functions if function["name"] == only)
    definitions: dict[str, Any] = {}
    choices = []
    for function in functions:
        parameters = dict(_parameters(function))
        # References begin at the root.
        for name, definition in parameters.pop("$defs", {}).items():
            if definitions.setdefault(name, definition) != definition:
                raise ValueError(f"two of the tools define $defs.{name} differently")
        choices.append(
            {
                "type": "object",
                "properties": {"name": {"const": function["name"]}, "arguments": parameters},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    items = {"anyOf": choices}
    schema: dict[str, Any] = {"type": "array", "minItems": 1, "maxItems": most, "items": items}
    return {**schema, "$defs": definitions} if definitions else schema


def as_answer(calls: Sequence[ToolCall]) -> str:
    """Equal calls are equal strings, so that chains can vote for them."""
    return canonical(
        [{"name": call.name, "arguments": json.loads(call.arguments)} for call in calls]
    )


def canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def parse(text: str) -> Any:
    """What JSON says; everything else is a ValueError, nesting too deep included."""
    try:
        return _DECODER.decode(text.strip())
    except RecursionError:
        raise ValueError("nested too deep") from None


def _parameters(function: dict[str, Any]) -> dict[str, Any]:
    return function.get("parameters") or {"type": "object"}


def _call(found: Any, names: Collection[str]) -> ToolCall | None:
    match found:
        case {"name": str(name), "arguments": dict(arguments)} if name in names:
            return ToolCall(name, json.dumps(arguments, ensure_ascii=False))
    return None


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
