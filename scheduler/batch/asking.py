"""How a row is asked: its body filled in with what the job says, and its reply as a line."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from scheduler.batch.durability.output import tokens_of
from scheduler.batch.inputs.row import Row
from scheduler.batch.job import AnsweredRow
from scheduler.errors import RequestError

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


def completed(body: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The body with the job's fields of `thinkbudget`, where it says nothing itself.

    A job reads whole replies: `stream` is left out.
    """
    body = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
    own = body.get("thinkbudget") or {}
    if options and isinstance(own, dict):
        body["thinkbudget"] = options | own
    return body


def leaves_policy_open(body: dict[str, Any]) -> bool:
    """Whether a row lets its job decide how it is answered."""
    own = body.get("thinkbudget") or {}
    if not isinstance(own, dict) or "price" in own:
        return False
    return own.get("policy", "priced") == "priced" and int(body.get("n") or 1) == 1


def output_line(custom_id: str, reply: dict[str, Any]) -> str:
    """OpenAI's line of output."""
    name = reply.get("id") or custom_id
    return json.dumps(
        {
            "id": f"batch_req_{name}",
            "custom_id": custom_id,
            "response": {"status_code": 200, "request_id": name, "body": reply},
            "error": None,
        }
    )


def tokens_in(reply: dict[str, Any]) -> int:
    """What a reply cost, 0 where it does not say. Raises RequestError for one that is an error."""
    if reply.get("error") and "choices" not in reply:
        raise RequestError(str(reply["error"])[:1000], code="failed")
    return tokens_of(reply)


def plain(answer: Answer, options: dict[str, Any]) -> Callable[[Row], Awaitable[AnsweredRow]]:
    """Asks every row once, as it is."""

    async def ask(row: Row) -> AnsweredRow:
        reply = await answer(completed(row.body, options))
        return AnsweredRow(output_line(row.custom_id, reply), tokens_in(reply))

    return ask
