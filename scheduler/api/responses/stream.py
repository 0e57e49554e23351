"""Responses as server-sent events, numbered, in OpenAI's order.

created, in_progress
output_item.added, content_part.added, reasoning_text.delta ..., reasoning_text.done,
    content_part.done, output_item.done                       what the chain thinks
output_item.added, content_part.added, output_text.delta ..., output_text.done,
    content_part.done, output_item.done                       what it says
completed | incomplete | failed
"""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from scheduler.api.event_writer import EventWriter, write
from scheduler.api.responses.answer import (
    ResponseJob,
    head,
    message_item,
    reasoning_item,
    renamed,
    text_part,
    whole,
)
from scheduler.errors import RequestError
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome

KEEP_ALIVE = ": keep-alive\n\n"


async def stream(controller: Controller, job: ResponseJob) -> AsyncIterator[str]:
    """As `event_writer.write`."""
    with renamed():
        async for chunk in write(controller, job.chat, _ResponseEvents(job)):
            yield chunk


StreamPart = Literal["reasoning_text", "output_text"]
_LOGPROBS: dict[StreamPart, dict[str, Any]] = {
    "reasoning_text": {},
    "output_text": {"logprobs": []},
}


@dataclass(slots=True)
class _ResponseEvents(EventWriter):
    """Numbers the events, and opens and closes the items that they belong to."""

    job: ResponseJob
    number: int = 0
    thinking: list[str] = field(default_factory=list)
    saying: list[str] = field(default_factory=list)
    _open: StreamPart | None = None
    _index: int = -1
    keep_alive = KEEP_ALIVE

    def event(self, kind: str, **fields: Any) -> str:
        kind = f"response.{kind}"
        body = {"type": kind, "sequence_number": self.number} | fields
        self.number += 1
        return f"event: {kind}\ndata: {json.dumps(body)}\n\n"

    def started(self, prompt_tokens: int) -> Iterator[str]:
        for kind in ("created", "in_progress"):
            yield self.event(kind, response=head(self.job, "in_progress"))

    def reasoning(self, text: str, tokens: int) -> Iterator[str]:
        yield from self._piece("reasoning_text", text)

    def answer(self, text: str, tokens: int) -> Iterator[str]:
        yield from self._piece("output_text", text)

    def done(self, outcome: Outcome) -> Iterator[str]:
        thought = "".join(self.thinking)
        response = whole(self.job, outcome, thought)
        messages = [item for item in response["output"] if item["type"] == "message"]
        if messages and not self.saying:
            yield from self._close()
            yield from self._begin("output_text")
        yield from self._close(response["status"])
        for item in response["output"]:
            if item["type"] == "function_call":
                yield from self._call(item)
        yield self.event(response["status"], response=response)

    def failed(self, error: RequestError) -> Iterator[str]:
        """OpenAI has few codes for this: ours is in the message."""
        is_rate = error.code == "rate_limit_exceeded"
        event = {
            "code": error.code if is_rate else "server_error",
            "message": f"{error.code}: {error.message[:900]}",
        }
        yield self.event("failed", response=head(self.job, "failed") | {"error": event})

    def _piece(self, part: StreamPart, text: str) -> Iterator[str]:
        if self._open != part:
            yield from self._close()
            yield from self._begin(part)
        (self.thinking if part == "reasoning_text" else self.saying).append(text)
        yield self.event(f"{part}.delta", **self._place, delta=text, **_LOGPROBS[part])

    def _begin(self, part: StreamPart) -> Iterator[str]:
        self._open, self._index = part, self._index + 1
        item = self._item(part, None, "in_progress")
        yield self.event("output_item.added", output_index=self._index, item=item)
        yield self.event("content_part.added", **self._place, part=_part(part, ""))

    def _close(self, status: Any = "completed") -> Iterator[str]:
        part = self._open
        if part is None:
            return
        text = "".join(self.thinking if part == "reasoning_text" else self.saying)
        yield self.event(f"{part}.done", **self._place, text=text, **_LOGPROBS[part])
        yield self.event("content_part.done", **self._place, part=_part(part, text))
        item = self._item(part, text, status if part == "output_text" else "completed")
        yield self.event("output_item.done", output_index=self._index, item=item)
        self._open = None

    def _call(self, item: dict[str, Any]) -> Iterator[str]:
        """Calls are known as a whole only."""
        self._index += 1
        place = {"item_id": item["id"], "output_index": self._index}
        begun = item | {"arguments": "", "status": "in_progress"}
        text = item["arguments"]
        yield self.event("output_item.added", output_index=self._index, item=begun)
        yield self.event("function_call_arguments.delta", **place, delta=text)
        yield self.event("function_call_arguments.done", **place, arguments=text, name=item["name"])
        yield self.event("output_item.done", output_index=self._index, item=item)

    @property
    def _place(self) -> dict[str, Any]:
        assert self._open is not None
        item_id = self._item(self._open, None, "in_progress")["id"]
        return {"item_id": item_id, "output_index": self._index, "content_index": 0}

    def _item(self, part: StreamPart, text: str | None, status: Any) -> dict[str, Any]:
        item = reasoning_item if part == "reasoning_text" else message_item
        return item(self.job, text, status)


def _part(part: StreamPart, text: str) -> dict[str, Any]:
    return text_part(text) if part == "output_text" else {"type": part, "text": text}
