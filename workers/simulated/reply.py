"""What a simulated model writes: its answer in the shape that was asked for, and plain text."""

import json
import math
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import NamedTuple

from workers.answers.answer_shape import AnswerShape, shape_of
from workers.completion import Completed, CompletionEvent, CompletionRequest, CompletionText
from workers.context_length import too_long
from workers.engine import Refused, SampleRequest
from workers.forcing.answer_stop import first_stop
from workers.sample import Accepted, ScoredToken, ToolCall

Generate = Callable[[int], Awaitable[bool]]


class SimulatedReply(NamedTuple):
    """`shown` is the share of the answer before its `stop_text`."""

    text: str
    calls: tuple[ToolCall, ...]
    answer: str | None
    logprobs: tuple[ScoredToken, ...]
    shown: float = 1.0
    stop_text: str = ""


def reply_of(
    request: SampleRequest, answer: str | None, probability: float, spelling: str = "{}"
) -> SimulatedReply:
    """All of an answer's tokens, which are words, are as probable as the answer.

    `spelling` is how an answer in plain text is written; `{}` in it is the answer.
    """
    if answer is None:
        return SimulatedReply("", (), None, ())
    shape = shape_of(request)
    written = _written(shape, answer, spelling)
    stops = request.sampling.answer_stops if shape.tools is None else ()
    stop = first_stop(written, stops)
    whole, written = written, written[: stop.at if stop else None]
    text, calls, vote = shape.read(written)
    if calls and not request.sampling.parallel_tool_calls:
        calls = calls[:1]
    scores: tuple[ScoredToken, ...] = ()
    if request.sampling.logprobs is not None:
        scores = tuple(
            _scored(word, probability, request.sampling.logprobs) for word in _words(written)
        )
    shown = len(written) / len(whole)
    ended = stop.text if stop else ""
    return SimulatedReply(text, calls, vote, scores, shown, ended)


async def completion(
    request: CompletionRequest, room: int, generate: Generate
) -> AsyncGenerator[CompletionEvent]:
    """Numbered words, a token each, as many as were asked for or up to a stop text.

    `generate` lets the time of so many tokens pass, and returns whether the engine is still there.
    """
    prompt = _words(request.prompt) if isinstance(request.prompt, str) else request.prompt
    if request.sampling.logprobs is not None:
        why = "a simulated model has no probabilities of words"
        raise Refused("logprobs", why, "unsupported_parameter")
    if not prompt:
        raise Refused("prompt", "prompt has no tokens")
    if len(prompt) + request.max_tokens > room:
        raise too_long(len(prompt), request.max_tokens, room, field="prompt")
    yield Accepted(len(prompt))
    if request.echo:
        text = request.prompt if isinstance(request.prompt, str) else " ".join(map(str, prompt))
        yield CompletionText(text)
    for made in range(request.max_tokens):
        if not await generate(1):
            yield Completed("lost", made)
            return
        word = f" word{made}"
        if any(stop in word for stop in request.stop):
            yield Completed("stop", made + 1)
            return
        yield CompletionText(word, tokens=made + 1)
    yield Completed("length", request.max_tokens)


def _written(shape: AnswerShape, answer: str, spelling: str) -> str:
    """Of several tools the first one is called."""
    if shape.plain:
        return "Final Answer: " + spelling.replace("{}", answer)
    found = {"answer": answer}
    if shape.tools is None or shape.only is not None:
        return json.dumps(found)
    call = {"name": shape.tools[0]["function"]["name"], "arguments": found}
    return json.dumps([call]) if shape.forced else f"<tool_call>{json.dumps(call)}</tool_call>"


def _scored(word: str, probability: float, top: int) -> ScoredToken:
    logprob = math.log(max(probability, 1e-9))
    return ScoredToken(word, word.encode(), logprob, ((word, logprob),)[:top])


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)
