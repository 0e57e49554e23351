"""POST /v1/responses: the same queries as chat completions, in OpenAI's newer shapes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from scheduler.api import chat
from scheduler.api import response as reply
from scheduler.api.ignored_fields import MOST_NAMES, unknown
from scheduler.api.prepared import PreparedQuery
from scheduler.api.responses import shape
from scheduler.api.responses.shape import ResponsesRequest
from scheduler.errors import RequestError
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from workers.sample import Sample

Status = Literal["in_progress", "completed", "incomplete", "failed"]

FIELDS = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
}
"""How fields of the chat request are called here."""


class ResponseJob(NamedTuple):
    request: ResponsesRequest
    chat: PreparedQuery

    @property
    def id(self) -> str:
        return f"resp_{self.chat.query.id}"

    @property
    def streams(self) -> bool:
        return bool(self.chat.request.stream)

    def item_id(self, kind: str) -> str:
        return f"{kind}_{self.chat.query.id}"


def prepare(controller: Controller, body: object) -> ResponseJob:
    """Check a request body; refuse it by the field at fault."""
    request = shape.parse(body)
    with renamed():
        job = chat.prepare(controller, shape.as_chat(request))
    heeded = {*shape.PASSED, *ResponsesRequest.model_fields}
    ignored = *job.ignored, *unknown(request.model_extra or {}, heeded)
    return ResponseJob(request, job._replace(ignored=ignored[:MOST_NAMES]))


async def answer(controller: Controller, job: ResponseJob) -> dict[str, Any]:
    """A whole response; raises RequestError."""
    with renamed():
        outcome = await chat.solved(controller, job.chat)
    return whole(job, outcome)


def whole(job: ResponseJob, outcome: Outcome, thought: str | None = None) -> dict[str, Any]:
    """A response that has ended; `thought` is the streamed reasoning, if not the winner's."""
    sample = next(iter(reply.chosen(job.chat, outcome)), None)
    if thought is None:
        thought = reply.reasoning(job.chat, sample) or ""
    is_cut = reply.finish_reason(sample) == "length" and not job.chat.is_dry_run
    usage = reply.usage(outcome)
    status: Status = "incomplete" if is_cut else "completed"
    return head(job, status) | {
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": [] if job.chat.is_dry_run else items(job, sample, thought, status),
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": usage["completion_tokens_details"],
            "total_tokens": usage["total_tokens"],
        },
        "thinkbudget": reply.account(job.chat, outcome),
    }


def items(
    job: ResponseJob, sample: Sample | None, thought: str, status: Status
) -> list[dict[str, Any]]:
    """What was thought, then what was said, or the calls."""
    calls = reply.tool_calls(job.chat, sample)
    text = reply.content(job.chat, sample)
    output = [reasoning_item(job, thought)] if thought else []
    if text or not calls:
        output.append(message_item(job, text, status))
    return output + [
        {
            "type": "function_call",
            "id": f"fc_{call['id']}",
            "call_id": call["id"],
            "name": call["function"]["name"],
            "arguments": call["function"]["arguments"],
            "status": "completed",
        }
        for call in calls
    ]


def reasoning_item(
    job: ResponseJob, text: str | None, status: Status = "completed"
) -> dict[str, Any]:
    """Without a text: the item as it begins."""
    return {
        "type": "reasoning",
        "id": job.item_id("rs"),
        "summary": [],
        "content": [] if text is None else [{"type": "reasoning_text", "text": text}],
        "status": status,
    }


def message_item(job: ResponseJob, text: str | None, status: Status) -> dict[str, Any]:
    return {
        "type": "message",
        "id": job.item_id("msg"),
        "role": "assistant",
        "content": [] if text is None else [text_part(text)],
        "status": status,
    }


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def head(job: ResponseJob, status: Status) -> dict[str, Any]:
    """All of a response but what came of it."""
    asked, chat_asked = job.request, job.chat.request
    wish = asked.text.format if asked.text and asked.text.format else None
    effort = chat_asked.reasoning.effort if chat_asked.reasoning else None
    choice = asked.tool_choice or "auto"
    return {
        "id": job.id,
        "object": "response",
        "created_at": job.chat.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "metadata": asked.metadata or {},
        "model": chat_asked.model,
        "output": [],
        "parallel_tool_calls": chat_asked.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": effort, "summary": None},
        "service_tier": reply.tier_of(chat_asked),
        "store": False,
        "temperature": chat_asked.temperature,
        "text": {"format": wish.model_dump() if wish else {"type": "text"}},
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
        "tools": [tool.model_dump() for tool in asked.tools or []],
        "top_p": chat_asked.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": chat_asked.user,
    }


@contextmanager
def renamed() -> Iterator[None]:
    """Errors name the fields as this request has them."""
    try:
        yield
    except RequestError as error:
        first = (error.field or "").split(".")[0]
        error.field = FIELDS.get(first, error.field)
        raise
