"""POST /v1/completions: prompts as they are, straight to the engine; no policy decides anything."""

import asyncio
import json
import math
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from policies.sampling import SamplingParams
from scheduler.admission.access import CALLER
from scheduler.api import aliases
from scheduler.api.completions_shape import CompletionBody, parse
from scheduler.api.events import KEEP_ALIVE_SECONDS
from scheduler.api.ignored_fields import unknown
from scheduler.api.response import tokens_so_far
from scheduler.errors import DeadlineExceeded, Forbidden, InvalidRequest, Overloaded, RequestError
from scheduler.solving.controller import Controller
from workers.completion import Completed, CompletionEvent, CompletionRequest, CompletionText
from workers.engine import Engine, Refused
from workers.sample import Accepted, ScoredToken

DEFAULT_TOKENS = 16


class PreparedCompletion(NamedTuple):
    """One request of the engine for every text that is wanted, in the order of their indices."""

    id: str
    body: CompletionBody
    texts: list[CompletionRequest]
    ignored: tuple[str, ...]
    created: int

    @property
    def headers(self) -> dict[str, str]:
        if not self.ignored:
            return {}
        return {"x-thinkbudget-ignored-fields": ", ".join(self.ignored)}


@dataclass(slots=True)
class _Text:
    """What is known of one text so far. `offset` is where its next token begins."""

    prompt_tokens: int = 0
    tokens: int = 0
    finish: str | None = None
    pieces: list[CompletionText] = field(default_factory=list)
    offset: int = 0


def prepare(controller: Controller, raw: object, *, allowed: bool = True) -> PreparedCompletion:
    """Raises RequestError; Forbidden unless raw prompts are `allowed`."""
    if not allowed:
        raise Forbidden("allow_raw_prompts is off: this server takes no raw prompts", code="no_raw")
    body, caller = parse(raw), CALLER.get()
    aliases.resolve(body.model, controller.info.model)
    params = SamplingParams(
        temperature=body.temperature,
        top_p=body.top_p,
        logprobs=body.logprobs,
        priority=caller.urgency(0),
        cache_salt=caller.cache_salt,
    )
    first = CompletionRequest(
        query=f"cmpl-{uuid.uuid4().hex}",
        prompt="",
        max_tokens=DEFAULT_TOKENS if body.max_tokens is None else body.max_tokens,
        sampling=params,
        stop=body.stops,
        echo=bool(body.echo),
        ignore_eos=bool(body.ignore_eos),
        live=bool(body.stream),
    )
    seeds = [None if body.seed is None else body.seed + turn for turn in range(body.n or 1)]
    texts = [
        replace(first, prompt=prompt, sampling=replace(params, seed=seed))
        for prompt in body.prompts
        for seed in seeds
    ]
    fields = raw if isinstance(raw, dict) else {}
    ignored = [*unknown(fields, {*CompletionBody.model_fields, "best_of", "suffix"})]
    if body.seed is not None and not controller.info.seeds:
        ignored.append("seed")
    return PreparedCompletion(first.query, body, texts, tuple(ignored), int(time.time()))


async def answer(controller: Controller, job: PreparedCompletion) -> dict[str, Any]:
    texts = [_Text() for _ in job.texts]
    async with aclosing(_events(controller, job)) as events:
        async for at, event in events:
            if event is not None:
                _take(texts[at], event)
    choices = [
        _choice(job, at, text, text.pieces, finish=text.finish) for at, text in enumerate(texts)
    ]
    return _head(job) | {"choices": choices, "usage": _usage(job, texts)}


async def stream(controller: Controller, job: PreparedCompletion) -> AsyncIterator[str]:
    """Raises RequestError before the first event when a prompt is refused; afterwards an error is
    an event of its own, and [DONE] still follows it.
    """
    texts = [_Text() for _ in job.texts]
    started = False
    try:
        async with aclosing(_events(controller, job)) as events:
            async for at, event in events:
                started = True
                if event is None:
                    yield ": keep-alive\n\n"
                    continue
                text = texts[at]
                _take(text, event)
                if isinstance(event, CompletionText):
                    yield _data(_chunk(job, text, _choice(job, at, text, [event])))
                    text.pieces.clear()
                elif isinstance(event, Completed):
                    choice = _choice(job, at, text, [], finish=text.finish)
                    yield _data(_chunk(job, text, choice))
        if job.body.wants_usage:
            yield _data(_head(job) | {"choices": [], "usage": _usage(job, texts)})
    except RequestError as error:
        if not started:
            raise
        yield _data(error.as_dict())
    yield "data: [DONE]\n\n"


async def _events(
    controller: Controller, job: PreparedCompletion
) -> AsyncGenerator[tuple[int, CompletionEvent | None]]:
    """Events of all texts with their indices, none before every prompt was taken; in a silence, a
    None now and then.
    """
    events: asyncio.Queue[tuple[int, CompletionEvent | Exception]] = asyncio.Queue()
    taken, held, unfinished = set[int](), list[tuple[int, CompletionEvent]](), len(job.texts)

    async def run(at: int, request: CompletionRequest) -> None:
        try:
            async for event in _complete(controller.engine, request):
                events.put_nowait((at, event))
        except Exception as error:
            events.put_nowait((at, error))

    loop, caller, admission = asyncio.get_running_loop(), CALLER.get(), controller.admission
    seconds, began = admission.deadline(None), loop.time()
    async with admission.admitted(
        caller,
        worst=max(1, sum(text.max_tokens for text in job.texts)),
        priority=caller.urgency(0),
        seconds=seconds,
    ) as ticket:
        tasks = [asyncio.create_task(run(at, text)) for at, text in enumerate(job.texts)]
        try:
            while unfinished:
                left = math.inf if seconds is None else began + seconds - loop.time()
                try:
                    # Not one timeout round it all: a generator may be gone on with by another task.
                    at, event = await asyncio.wait_for(events.get(), min(KEEP_ALIVE_SECONDS, left))
                except TimeoutError:
                    if left <= KEEP_ALIVE_SECONDS:
                        raise DeadlineExceeded(seconds) from None
                    yield 0, None
                    continue
                if isinstance(event, Exception):
                    raise event
                if isinstance(event, Accepted):
                    taken.add(at)
                if isinstance(event, Completed):
                    unfinished -= 1
                    ticket.spent += event.tokens
                held.append((at, event))
                if len(taken) == len(job.texts):
                    for each in held:
                        yield each
                    held.clear()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _complete(engine: Engine, request: CompletionRequest) -> AsyncIterator[CompletionEvent]:
    """The engine's events, its refusals and losses as errors of the request."""
    try:
        async with aclosing(engine.complete(request)) as events:
            async for event in events:
                if isinstance(event, Completed) and event.finish == "lost":
                    raise Overloaded("no engine could finish a text of this request; try again")
                yield event
    except Refused as refused:
        raise InvalidRequest(refused.why, field=refused.field, code=refused.code) from None


def _take(text: _Text, event: CompletionEvent) -> None:
    match event:
        case Accepted(prompt_tokens):
            text.prompt_tokens = prompt_tokens
            text.pieces.clear()
        case CompletionText():
            text.pieces.append(event)
            text.tokens = max(text.tokens, event.tokens)
        case Completed(finish, tokens):
            text.finish, text.tokens = finish, tokens


def _choice(
    job: PreparedCompletion,
    at: int,
    text: _Text,
    pieces: list[CompletionText],
    *,
    finish: str | None = None,
) -> dict[str, Any]:
    logprobs = None
    if job.body.logprobs is not None:
        scores = [token for piece in pieces for token in piece.scores]
        logprobs, text.offset = _logprobs(scores, text.offset)
    return {
        "index": at,
        "text": "".join(piece.text for piece in pieces),
        "logprobs": logprobs,
        "finish_reason": finish,
    }


def _logprobs(scores: list[ScoredToken], offset: int) -> tuple[dict[str, Any], int]:
    """As OpenAI has them, the token itself among the likeliest; and where the next one begins."""
    offsets = []
    for token in scores:
        offsets.append(offset)
        offset += len(token.text)
    # The first of a prompt has none; of tokens that read the same, the likeliest counts.
    top = [
        None if each.logprob is None else {each.text: each.logprob} | dict(reversed(each.top))
        for each in scores
    ]
    logprobs = {
        "tokens": [token.text for token in scores],
        "token_logprobs": [token.logprob for token in scores],
        "top_logprobs": top,
        "text_offset": offsets,
    }
    return logprobs, offset


def _usage(job: PreparedCompletion, texts: list[_Text]) -> dict[str, int]:
    """A prompt counts once, however many texts are made of it."""
    prompt = sum(text.prompt_tokens for text in texts[:: job.body.n or 1])
    made = sum(text.tokens for text in texts)
    return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}


def _chunk(job: PreparedCompletion, text: _Text, choice: dict[str, Any]) -> dict[str, Any]:
    """With the tokens of this text so far, if the caller wants them with every chunk."""
    options = job.body.stream_options
    usage = tokens_so_far(text.prompt_tokens, text.tokens)
    shown = {"usage": usage} if options and options.so_far else {}
    return _head(job) | {"choices": [choice]} | shown


def _head(job: PreparedCompletion) -> dict[str, Any]:
    return {
        "id": job.id,
        "object": "text_completion",
        "created": job.created,
        "model": job.body.model,
    }


def _data(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"
