"""OpenAI's batch lines: {"custom_id", "method", "url", "body"}."""

import json
from typing import Any

from scheduler.batch.inputs.row import URL, Row, checked_id
from scheduler.errors import InvalidRequest
from scheduler.json_body import check_text


def read_line(line: dict[str, Any], number: int) -> Row:
    """Raises InvalidRequest that names the field."""
    custom_id, body = checked_id(line.get("custom_id")), line.get("body")
    if line.get("url", URL) != URL:
        raise InvalidRequest(f"url must be {URL}, got {line['url']!r}", field="url")
    if line.get("method", "POST") != "POST":
        raise InvalidRequest(f"method must be POST, got {line['method']!r}", field="method")
    if not isinstance(body, dict):
        raise InvalidRequest("body must be a JSON object", field="body")
    check_text(body)
    return Row(number, custom_id, body)


def readable_id(raw: bytes) -> str | None:
    """The custom_id of a line that is refused, as far as one can be made out."""
    try:
        text = raw.decode("utf-8-sig", errors="replace")
        line = json.loads(text, parse_int=float)  # an int of many digits is an error
    except (ValueError, RecursionError):
        return None
    custom_id = line.get("custom_id") if isinstance(line, dict) else None
    return custom_id if isinstance(custom_id, str) else None
