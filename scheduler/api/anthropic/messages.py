"""POST /v1/messages: the queries of chat completions in the shapes of Anthropic's Messages."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from scheduler.api import chat
from scheduler.api import response as reply
from scheduler.api.anthropic import shape
from scheduler.api.anthropic.shape import MessagesRequest
from scheduler.api.ignored_fields import MOST_NAMES, unknown
from scheduler.api.prepared import PreparedQuery
from scheduler.errors import RequestError
from scheduler.solving.controller import Controller
from workers.sample import Sample

PATH = "/v1/messages"
SIGNATURE = "thinkbudget"
"""Anthropic signs blocks of thinking; clients want some text there. It is not read."""

FIELDS = {
    "max_completion_tokens": "max_tokens",
    "stop": "stop_sequences",
    "response_format": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "user": "metadata.user_id",
}
"""How fields of the chat request are called here."""

ERRORS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class MessageJob(NamedTuple):
    request: MessagesRequest
    chat: PreparedQuery

    @property
    def streams(self) -> bool:
        return bool(self.chat.request.stream)


def prepare(controller: Controller, body: object) -> MessageJob:
    """Check a request body; refuse it by the field at fault."""
    request = shape.parse(body)
    with renamed():
        job = chat.prepare(controller, shape.as_chat(request))
    extra = (request.model_extra or {}) | {"top_k": request.top_k}
    ignored = *job.ignored, *unknown(extra, shape.PASSED)
    return MessageJob(request, job._replace(ignored=ignored[:MOST_NAMES]))


async def answer(controller: Controller, job: MessageJob) -> dict[str, Any]:
    """A whole message; raises RequestError."""
    with renamed():
        outcome = await chat.solved(controller, job.chat)
    sample = next(iter(reply.chosen(job.chat, outcome)), None)
    return head(job, outcome.prompt_tokens) | {
        "content": blocks(job, sample),
        **ending(job, sample),
        "usage": usage(outcome.prompt_tokens, outcome.tokens.total),
        "thinkbudget": reply.account(job.chat, outcome),
    }


def head(job: MessageJob, prompt_tokens: int) -> dict[str, Any]:
    """A message as it begins."""
    return {
        "id": f"msg_{job.chat.query.id}",
        "type": "message",
        "role": "assistant",
        "model": job.chat.request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage(prompt_tokens, 0),
    }


def usage(prompt_tokens: int, made: int) -> dict[str, Any]:
    """Every token generated for the query, those of chains that are not shown included."""
    return {
        "input_tokens": prompt_tokens,
        "output_tokens": made,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }


def blocks(job: MessageJob, sample: Sample | None) -> list[dict[str, Any]]:
    """What was thought, then what was said, then the calls."""
    thought, text = reply.reasoning(job.chat, sample), reply.content(job.chat, sample)
    calls = call_blocks(job, sample)
    found = [thinking_block(job, thought)] if thought else []
    if text or not calls:
        found.append({"type": "text", "text": text})
    return found + calls


def thinking_block(job: MessageJob, thought: str) -> dict[str, Any]:
    shown = "" if job.request.hides_text else thought
    return {"type": "thinking", "thinking": shown, "signature": SIGNATURE}


def call_blocks(job: MessageJob, sample: Sample | None) -> list[dict[str, Any]]:
    return [
        {
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": json.loads(call["function"]["arguments"]),
        }
        for call in reply.tool_calls(job.chat, sample)
    ]


def ending(job: MessageJob, sample: Sample | None) -> dict[str, Any]:
    """Why the message ends."""
    reason = {"tool_calls": "tool_use", "stop": "end_turn", "length": "max_tokens"}[
        "stop" if job.chat.is_dry_run else reply.finish_reason(sample)
    ]
    stop = sample.stop_text if sample and reason == "end_turn" else ""
    return {"stop_reason": "stop_sequence" if stop else reason, "stop_sequence": stop or None}


def error_of(error: RequestError) -> dict[str, Any]:
    """The error object of Anthropic's API; `param` and `code` are those of OpenAI's."""
    body = error.as_dict()["error"]
    assert isinstance(body, dict)
    kind = ERRORS.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": body | {"type": kind}}


@contextmanager
def renamed() -> Iterator[None]:
    """Errors name the fields as this request has them."""
    try:
        yield
    except RequestError as error:
        first, *inner = (error.field or "").split(".")
        if first in ("messages", "tools"):
            # Turns and tools are not at the same places, nor of the same form.
            error.field = first
        else:
            error.field = ".".join([FIELDS.get(first, first), *inner]) or None
        if error.field and first in FIELDS:
            error.message = error.message.replace(first, FIELDS[first], 1)
        raise
