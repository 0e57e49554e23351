"""Messages as server-sent events, in Anthropic's order.

message_start
content_block_start, content_block_delta ..., content_block_stop      thinking, text, each tool call
message_delta                                                         why it ended, and the usage
message_stop
"""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from scheduler.api import response as reply
from scheduler.api.anthropic.messages import (
    SIGNATURE,
    MessageJob,
    call_blocks,
    ending,
    error_of,
    head,
    renamed,
    usage,
)
from scheduler.api.event_writer import EventWriter, write
from scheduler.errors import RequestError
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome

PING = 'event: ping\ndata: {"type": "ping"}\n\n'
BlockKind = Literal["thinking", "text"]


async def stream(controller: Controller, job: MessageJob) -> AsyncIterator[str]:
    """As `event_writer.write`."""
    with renamed():
        async for chunk in write(controller, job.chat, _MessageEvents(job)):
            yield chunk


@dataclass(slots=True)
class _MessageEvents(EventWriter):
    """Opens and closes the blocks that pieces of text belong to."""

    job: MessageJob
    _open: BlockKind | None = None
    _index: int = -1
    _kinds: set[str] = field(default_factory=set)
    keep_alive = PING

    def started(self, prompt_tokens: int) -> Iterator[str]:
        yield _event("message_start", message=head(self.job, prompt_tokens))

    def reasoning(self, text: str, tokens: int) -> Iterator[str]:
        yield from self._enter("thinking", {"thinking": "", "signature": ""})
        if not self.job.request.hides_text:
            yield self._delta({"type": "thinking_delta", "thinking": text})

    def answer(self, text: str, tokens: int) -> Iterator[str]:
        yield from self._enter("text", {"text": ""})
        yield self._delta({"type": "text_delta", "text": text})

    def done(self, outcome: Outcome) -> Iterator[str]:
        sample = next(iter(reply.chosen(self.job.chat, outcome)), None)
        calls = call_blocks(self.job, sample)
        if not calls and "text" not in self._kinds:
            yield from self._enter("text", {"text": ""})
        yield from self._close()
        for call in calls:
            yield from self._call(call)
        spent = usage(outcome.prompt_tokens, outcome.tokens.total)
        account = reply.account(self.job.chat, outcome)
        yield _event(
            "message_delta", delta=ending(self.job, sample), usage=spent, thinkbudget=account
        )
        yield _event("message_stop")

    def failed(self, error: RequestError) -> Iterator[str]:
        yield _event("error", **error_of(error))

    def _call(self, call: dict[str, Any]) -> Iterator[str]:
        """Calls are known as a whole only."""
        self._index += 1
        yield self._block("start", content_block=call | {"input": {}})
        arguments = json.dumps(call["input"], ensure_ascii=False)
        yield self._delta({"type": "input_json_delta", "partial_json": arguments})
        yield self._block("stop")

    def _enter(self, kind: BlockKind, empty: dict[str, str]) -> Iterator[str]:
        if self._open == kind:
            return
        yield from self._close()
        self._open, self._index = kind, self._index + 1
        self._kinds.add(kind)
        yield self._block("start", content_block={"type": kind} | empty)

    def _close(self) -> Iterator[str]:
        if self._open is None:
            return
        if self._open == "thinking":
            yield self._delta({"type": "signature_delta", "signature": SIGNATURE})
        self._open = None
        yield self._block("stop")

    def _delta(self, delta: dict[str, str]) -> str:
        return self._block("delta", delta=delta)

    def _block(self, what: Literal["start", "delta", "stop"], **fields: Any) -> str:
        return _event(f"content_block_{what}", index=self._index, **fields)


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields)}\n\n"
