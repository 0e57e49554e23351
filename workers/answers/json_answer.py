"""JSON answers, compared by value: neither the order of keys nor the spelling of numbers counts."""

import json
import re
from typing import Any

from workers.answers.tool_calls import parse

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
        return json.dumps(_plain(parse(text)), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None


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


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value
