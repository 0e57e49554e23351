"""Chat completions as server-sent events: role, reasoning, content, finish, usage, [DONE]."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from scheduler.api import response as reply
from scheduler.api.event_writer import EventWriter, write
from scheduler.api.prepared import PreparedQuery
from scheduler.errors import RequestError
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from scheduler.solving.rounds import DecisionStep
from workers.forcing.chain import UNANSWERED
from workers.sample import Sample

KEEP_ALIVE = ": keep-alive\n\n"
DONE = "data: [DONE]\n\n"
ROLE = {"role": "assistant", "content": ""}


async def stream(controller: Controller, job: PreparedQuery) -> AsyncIterator[str]:
    """As `event_writer.write`, and [DONE] at the end, after an error too."""
    async for chunk in write(controller, job, _ChunkWriter(job)):
        yield chunk
    yield DONE


@dataclass(slots=True)
class _ChunkWriter(EventWriter):
    job: PreparedQuery
    prompt_tokens: int = 0
    keep_alive = KEEP_ALIVE
    shows_late_reasoning = True

    def started(self, prompt_tokens: int) -> Iterator[str]:
        self.prompt_tokens = prompt_tokens
        yield self._chunk(ROLE, 0)

    def reasoning(self, text: str, tokens: int) -> Iterator[str]:
        yield self._chunk(_reasoning(text), tokens)

    def answer(self, text: str, tokens: int) -> Iterator[str]:
        yield self._chunk({"content": text}, tokens)

    def progress(self, what: DecisionStep | Sample) -> Iterator[str]:
        head = reply.head(self.job, "chat.completion.chunk")
        yield _event(head | {"choices": [], "thinkbudget": {"progress": _progress(what)}})

    def done(self, outcome: Outcome) -> Iterator[str]:
        return _last(self.job, outcome)

    def failed(self, error: RequestError) -> Iterator[str]:
        yield _event(error.as_dict())

    def _chunk(self, delta: dict[str, Any], tokens: int) -> str:
        return _chunk(self.job, delta, used=(self.prompt_tokens, tokens))


def _last(job: PreparedQuery, outcome: Outcome) -> Iterator[str]:
    """The choices that were not streamed, how all of them ended, and what was spent."""
    best, *others = reply.chosen(job, outcome) or (None,)
    for at, sample in enumerate(others, start=1):
        yield _chunk(job, ROLE, at=at)
        if thought := reply.reasoning(job, sample):
            yield _chunk(job, _reasoning(thought), at=at)
        if text := reply.content(job, sample):
            yield _chunk(job, {"content": text}, at=at)
        yield from map(_event, _ends(job, sample, at))
    account: dict[str, Any] = {"thinkbudget": reply.account(job, outcome)}
    if job.request.wants_usage_so_far:
        account["usage"] = reply.usage(outcome)
    *calls, finish = _ends(job, best, 0)
    yield from map(_event, [*calls, finish | account])
    if job.request.wants_usage:
        last = reply.head(job, "chat.completion.chunk")
        yield _event(last | {"choices": [], "usage": reply.usage(outcome)})


def _ends(job: PreparedQuery, sample: Sample | None, at: int) -> list[dict[str, Any]]:
    calls = [{"index": i} | call for i, call in enumerate(reply.tool_calls(job, sample))]
    chunks = [_body(job, {"tool_calls": calls}, at)] if calls else []
    finish = _body(job, {}, at)
    finish["choices"][0] |= {
        "finish_reason": reply.finish_reason(sample),
        "logprobs": reply.logprobs(job, sample),
    }
    return [*chunks, finish]


def _progress(what: DecisionStep | Sample) -> dict[str, Any]:
    """A round of chains that has begun, or a chain that has ended, with its vote."""
    if isinstance(what, DecisionStep):
        return {
            "event": "round",
            "kind": what.kind,
            "chains": list(what.chains),
            "max_thinking_tokens": what.budget.max_thinking_tokens if what.budget else None,
            "extensions": what.budget.extensions if what.budget else 0,
        }
    return {
        "event": "chain",
        "chain": what.chain,
        "answer": None if what.stop_cause in UNANSWERED else what.answer,
        "stop_reason": what.stop_cause,
        "thinking_tokens": what.thinking_tokens,
        "extensions": what.extensions,
        "tokens": what.tokens,
    }


def _reasoning(text: str) -> dict[str, str]:
    return {"reasoning": text, "reasoning_content": text}


def _body(job: PreparedQuery, delta: dict[str, Any], at: int) -> dict[str, Any]:
    choice = {"index": at, "delta": delta, "logprobs": None, "finish_reason": None}
    return reply.head(job, "chat.completion.chunk") | {"choices": [choice]}


def _chunk(
    job: PreparedQuery, delta: dict[str, Any], *, at: int = 0, used: tuple[int, int] | None = None
) -> str:
    """`used` are the tokens so far: of the prompt, and of the chain that is streamed."""
    body = _body(job, delta, at)
    if used is not None and job.request.wants_usage_so_far:
        body["usage"] = reply.tokens_so_far(*used)
    return _event(body)


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"
