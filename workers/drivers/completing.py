"""Runs a completion on a core, and makes text of its tokens."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from tokenizers.decoders import DecodeStream

from workers.completion import Completed, CompletionEvent, CompletionRequest, CompletionText
from workers.context_length import too_long
from workers.drivers.core import Core, CoreDied, GenerateOptions, OutputDelta
from workers.drivers.token_text import scored, spelling
from workers.engine import Refused
from workers.forcing.chain import GenerateCall
from workers.forcing.stop_text import overlap
from workers.format import TokenFormat
from workers.sample import Accepted, ScoredToken

# So many tokens before it decide how a token is spelled: whether a word begins with a space, say.
SPELLING_CONTEXT = 6


async def complete(
    core: Core, format_: TokenFormat, request: CompletionRequest, name: str
) -> AsyncGenerator[CompletionEvent]:
    """Raises Refused. A core that dies is the finish "lost"."""
    prompt = _prompt(core, request)
    yield Accepted(len(prompt))
    # No core generates nothing: of a prompt that is only to be scored, one token too many.
    stops = frozenset[int]() if request.ignore_eos else format_.end_of_turn
    call = GenerateCall(max(1, request.max_tokens), 0, stops, request.stop)
    text = _Text(core.tokenizer, prompt, request.stop)
    count, echoes = 0, request.echo
    try:
        async with aclosing(core.generate(name, prompt, call, _options(request))) as pieces:
            async for piece in pieces:
                if echoes:
                    echoes = False
                    yield _echo(core.tokenizer, request, prompt, piece)
                if request.max_tokens:
                    count += len(piece.tokens)
                    text_out = text.feed(piece.tokens, last=piece.finish is not None)
                    scores = _scores(core.tokenizer, request, piece.tokens, piece.logprobs)
                    if text_out or scores:
                        yield CompletionText(text_out, scores, count)
                if text.stopped or piece.finish is not None:
                    break
    except CoreDied:
        yield Completed("lost", count)
        return
    if piece.finish is None or piece.finish == "abort":
        yield Completed("stop" if text.stopped else "lost", count)
    else:
        yield Completed("stop" if text.stopped else piece.finish, count)


class _Text:
    """What is said after a prompt, up to a stop text; what may be the beginning of one is held."""

    def __init__(self, tokenizer: Any, prompt: Sequence[int], stops: tuple[str, ...]) -> None:
        self._backend, self._stops, self._held = tokenizer.backend_tokenizer, stops, ""
        self._stream = DecodeStream(skip_special_tokens=True)
        self.stopped = False
        for token in prompt[-SPELLING_CONTEXT:]:
            self._stream.step(self._backend, token)

    def feed(self, tokens: Sequence[int], *, last: bool) -> str:
        self._held += "".join(self._stream.step(self._backend, token) or "" for token in tokens)
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        self.stopped = bool(found)
        sure = min(found, default=len(self._held))
        if not self.stopped and not last:
            sure -= max((overlap(self._held, stop) for stop in self._stops), default=0)
        text_out, self._held = self._held[:sure], self._held[sure:]
        return text_out


def _prompt(core: Core, request: CompletionRequest) -> list[int]:
    if isinstance(request.prompt, str):
        try:
            tokens = list(core.tokenizer.encode(request.prompt))
        except (TypeError, UnicodeError):
            raise Refused("prompt", "prompt holds half of a surrogate pair") from None
    else:
        tokens, known = list(request.prompt), core.vocabulary
        if unknown := [token for token in tokens if not 0 <= token < known]:
            raise Refused("prompt", f"prompt holds token {unknown[0]}, the model has {known}")
    if not tokens:
        raise Refused("prompt", "prompt has no tokens")
    room = core.max_model_len - len(tokens)
    if room < max(1, request.max_tokens):
        field = "prompt" if room < 1 else "max_tokens"
        raise too_long(len(tokens), max(1, request.max_tokens), core.max_model_len, field=field)
    return tokens


def _options(request: CompletionRequest) -> GenerateOptions:
    return GenerateOptions(
        request.sampling,
        live=request.live,
        ignore_end_of_turn=request.ignore_eos,
        prompt_logprobs=request.sampling.logprobs if request.echo else None,
    )


def _echo(
    tokenizer: Any, request: CompletionRequest, prompt: list[int], piece: OutputDelta
) -> CompletionText:
    text = request.prompt
    if not isinstance(text, str):
        text = tokenizer.decode(prompt, skip_special_tokens=False)
    if request.sampling.logprobs is None:
        return CompletionText(text)
    first = ScoredToken(*spelling(tokenizer, prompt[0]), None)
    return CompletionText(text, (first, *_scores(tokenizer, request, prompt[1:], piece.prompt)))


def _scores(
    tokenizer: Any, request: CompletionRequest, tokens: Sequence[int], logprobs: Sequence[Any]
) -> tuple[ScoredToken, ...]:
    if request.sampling.logprobs is None:
        return ()
    return tuple(scored(tokenizer, zip(tokens, logprobs, strict=True), request.sampling.logprobs))
