"""What form an answer must have: free text, JSON of a schema, or calls of tools."""

import json
from dataclasses import dataclass, replace
from typing import Any

from policies.answer_spec import AnswerSpec
from workers.answers.extract import extract
from workers.answers.tool_calls import (
    MOST_CALLS,
    as_answer,
    canonical,
    forced_calls,
    forced_schema,
    parse,
    tagged_calls,
)
from workers.engine import Refused, SampleRequest
from workers.sample import ToolCall

MOST_SCHEMA_BYTES = 64 << 10
MOST_SCHEMA_DEPTH = 32
# xgrammar 0.2 takes 0.5 s for an object of 400 optional keys, and over 15 s for one of 2000.
MOST_SCHEMA_KEYS = 256


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """`tools` are OpenAI's, for the chat template; None: none may be called. `names` are theirs.

    `schema` is what the answer is held to while it is generated, as JSON. With `forced` it makes a
    call, of the tool `only` if that is given. `answer` is how free text is read.
    """

    tools: list[dict[str, Any]] | None = None
    names: frozenset[str] = frozenset()
    schema: str | None = None
    forced: bool = False
    only: str | None = None
    answer: AnswerSpec = AnswerSpec()

    @property
    def plain(self) -> bool:
        """Whether it is free text, which may be shown as it comes."""
        return self.tools is None and self.schema is None

    def read(self, text: str, forced: str = "") -> tuple[str, tuple[ToolCall, ...], str | None]:
        """What to show of an answer's text, the calls in it, and what votes are counted by.

        `forced` are words that were put at the head of the text: alone they are no answer.
        """
        shown, calls, answer = self._read(text, forced)
        return shown, calls, None if self.answer.kind == "none" else answer

    def _read(self, text: str, forced: str) -> tuple[str, tuple[ToolCall, ...], str | None]:
        if self.tools is not None:
            rest, calls = (
                ("", forced_calls(text, self.names, self.only))
                if self.forced
                else tagged_calls(text, self.names)
            )
            if calls:
                return rest, calls, as_answer(calls)
        if self.schema is None:
            return text, (), extract(text, forced, self.answer)
        try:
            return text, (), canonical(parse(text))
        except ValueError:  # it was cut short
            return text, (), None


def shape_of(request: SampleRequest) -> AnswerShape:
    """Raises Refused."""
    return replace(_shape_of(request), answer=request.sampling.answer)


def _shape_of(request: SampleRequest) -> AnswerShape:
    wanted = _wanted(
        _parsed(request.sampling.response_format, "response_format") or {"type": "text"}
    )
    choice: Any = _parsed(request.sampling.tool_choice, "tool_choice") or "auto"
    tools = _parsed(request.sampling.tools, "tools") if choice != "none" else None
    if not tools:
        if choice not in ("auto", "none"):
            raise Refused("tool_choice", f"tool_choice is {choice!r}, but there are no tools")
        return AnswerShape(schema=_schema(wanted, "response_format"))
    if wanted is not None:
        why = "response_format cannot be combined with tools, unless tool_choice is 'none'"
        raise Refused("response_format", why, "unsupported_parameter")
    try:
        functions = [tool["function"] for tool in tools]
        names = frozenset(str(function["name"]) for function in functions)
        only = None if choice in ("auto", "required") else str(choice["function"]["name"])
    except (KeyError, TypeError):
        raise Refused("tools", "tools or tool_choice are not as OpenAI has them") from None
    if only is not None and only not in names:
        raise Refused("tool_choice", f"tool_choice names {only!r}, the tools are {sorted(names)}")
    if choice == "auto":
        return AnswerShape(tools, names)
    try:
        most = MOST_CALLS if request.sampling.parallel_tool_calls else 1
        schema = _schema(forced_schema(functions, only, most), "tools")
    except ValueError as error:
        raise Refused("tools", str(error)) from None
    return AnswerShape(tools, names, schema, forced=True, only=only)


def _wanted(format_: dict[str, Any]) -> Any:
    """The schema that a `response_format` asks for, None for text."""
    match format_:
        case {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "object"}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
        case {"type": "json_schema", "json_schema": dict(named)} if "schema" not in named:
            return {"type": "object"}
    why = (
        "response_format must be of type text, json_object, or json_schema with "
        f"json_schema.schema, got {str(format_)[:80]}"
    )
    raise Refused("response_format", why)


def _schema(schema: Any, field: str) -> str | None:
    """As JSON. Bounded, for engines compile it."""
    if schema is None:
        return None
    # In the order it was given: a model fills in the properties in that order.
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > MOST_SCHEMA_BYTES:
        raise Refused(field, f"{field}: the schema is larger than {MOST_SCHEMA_BYTES} bytes")
    depth, widest = _extent(schema)
    if depth > MOST_SCHEMA_DEPTH:
        raise Refused(field, f"{field}: the schema is nested deeper than {MOST_SCHEMA_DEPTH}")
    if widest > MOST_SCHEMA_KEYS:
        raise Refused(field, f"{field}: one part of the schema has over {MOST_SCHEMA_KEYS} keys")
    return text


def _extent(value: Any) -> tuple[int, int]:
    """How deep lists and objects are nested, and the most keys of an object; without recursion."""
    depth, widest, level = 0, 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        widest = max([widest, *(len(item) for item in level if isinstance(item, dict))])
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return depth, widest


def _parsed(text: str | None, field: str) -> Any:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError:
        raise Refused(field, f"{field} is not JSON") from None
