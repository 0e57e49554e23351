"""Chat completions as server-sent events: role, reasoning, content, finish, usage, [DONE]."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from scheduler.api import response as reply
from scheduler.api.events import AnswerText, Done, KeepAlive, ReasoningText, Started, follow
from scheduler.api.prepared import PreparedQuery
from scheduler.errors import RequestError
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from workers.sample import Sample

KEEP_ALIVE = ": keep-alive\n\n"
DONE = "data: [DONE]\n\n"
ROLE = {"role": "assistant", "content": ""}


async def stream(controller: Controller, job: PreparedQuery) -> AsyncIterator[str]:
    """Raises RequestError before the first event when the request is refused; afterwards an error
    is an event of its own, and [DONE] still follows it.
    """
    started, prompt = False, 0
    async with aclosing(follow(controller, job)) as events:
        try:
            async for event in events:
                started = True
                match event:
                    case KeepAlive():
                        yield KEEP_ALIVE
                    case Started(prompt):
                        yield _chunk(job, ROLE, used=(prompt, 0))
                    case ReasoningText(text, tokens):
                        yield _chunk(job, _thought(text), used=(prompt, tokens))
                    case AnswerText(text, tokens):
                        yield _chunk(job, {"content": text}, used=(prompt, tokens))
                    case Done(outcome):
                        for chunk in _last(job, outcome):
                            yield chunk
        except RequestError as error:
            if not started:
                raise
            yield _event(error.as_dict())
    yield DONE


def _last(job: PreparedQuery, outcome: Outcome) -> Iterator[str]:
    """The choices that were not told live, how all of them ended, and what was spent."""
    best, *others = reply.chosen(job, outcome) or (None,)
    for at, sample in enumerate(others, start=1):
        yield _chunk(job, ROLE, at=at)
        if thought := reply.reasoning(job, sample):
            yield _chunk(job, _thought(thought), at=at)
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


def _thought(text: str) -> dict[str, str]:
    return {"reasoning": text, "reasoning_content": text}


def _body(job: PreparedQuery, delta: dict[str, Any], at: int) -> dict[str, Any]:
    choice = {"index": at, "delta": delta, "logprobs": None, "finish_reason": None}
    return reply.head(job, "chat.completion.chunk") | {"choices": [choice]}


def _chunk(
    job: PreparedQuery, delta: dict[str, Any], *, at: int = 0, used: tuple[int, int] | None = None
) -> str:
    """`used` are the tokens so far: of the prompt, and of the chain that is told."""
    body = _body(job, delta, at)
    if used is not None and job.request.wants_usage_so_far:
        body["usage"] = reply.tokens_so_far(*used)
    return _event(body)


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"
