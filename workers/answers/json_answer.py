"""JSON answers, compared by value: neither the order of keys nor the spelling of numbers counts."""

import ast
import contextlib
import json
import re
from typing import Any

from workers.answers.tool_calls import parse

_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_FENCE = re.compile(r"```(?:json|JSON)?\s*\n?(.*?)\n?\s*```", re.DOTALL)
MAX_JSON = 200_000


def json_value(text: str) -> str | None:
    """JSON of the same value in one spelling, None where the text is not JSON.

    A block of code round it does not count.
    """
    if len(text) > MAX_JSON:
        return None
    text = text.strip()
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1]
    try:
        value = _plain(parse(text))
        if isinstance(value, list) and len(value) == 1 and _is_call(value[0]):
            value = value[0]
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"name", "arguments"}


def tagged_json(text: str) -> str | None:
    """The calls between `<tool_call>` tags, as one JSON value."""
    calls = [found.strip() for found in _TAGGED.findall(text)]
    if not calls or any(json_value(call) is None for call in calls):
        return None
    return calls[0] if len(calls) == 1 else f"[{', '.join(calls)}]"


def last_json(text: str) -> str | None:
    """The last JSON object or list in a reply with words round it; in a block of code, say."""
    blocks = [block for block in _FENCE.findall(text) if json_value(block) is not None]
    if blocks:
        return str(blocks[-1]).strip()
    if json_value(text) is not None:
        return text.strip()
    decoder, best, at, tries = json.JSONDecoder(), None, 0, 0
    openings = re.compile(r"[{\[]")
    while (opening := openings.search(text, at)) and tries < 50:
        tries += 1
        try:
            _, end = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            at = opening.end()
            continue
        best, at = text[opening.start() : end], end
    return best


_CALL = re.compile(r"[A-Za-z_][\w.]{0,60}\([^()]{0,500}\)")


def call_value(text: str) -> str | None:
    """A call as Python writes it, `f(city="Paris")`, as the JSON of one; None for other text."""
    if not _CALL.fullmatch(text) or "=" not in text:
        return None
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            return None
        arguments = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        value = {"name": ast.unparse(call.func), "arguments": arguments}
        return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


def _called(value: dict[str, Any]) -> dict[str, Any]:
    """A call of a tool as models and vendors write it, with a name and arguments only."""
    if isinstance(value.get("function"), dict) and value.keys() <= {"function", "type", "id"}:
        value = value["function"]
    if "name" in value and "parameters" in value and len(value) == 2:
        value = {"name": value["name"], "arguments": value["parameters"]}
    if "name" in value and isinstance(value.get("arguments"), str):
        with contextlib.suppress(ValueError):
            value = {**value, "arguments": parse(value["arguments"])}
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in _called(value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value
