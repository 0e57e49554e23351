"""A core without a model: the next token is a hash of all before it. For tests of drivers.

It ends, masks, forgets and aborts as a real one does, dies on command, and gives its pieces in
sizes that vary.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from workers.drivers.core import (
    CoreDied,
    GenerateOptions,
    OutputDelta,
    StreamingSession,
    TokenLogprobs,
)
from workers.forcing.chain import Finish, GenerateCall
from workers.format import TokenFormat


class ToyCore:
    """It says `words`, and about one token in `one_in` is a stop of the format. A seed is heeded,
    a schema is not.
    """

    seeds = True

    def __init__(
        self,
        format_: TokenFormat,
        words: Sequence[int],
        *,
        vocabulary: int,
        one_in: int = 20,
        max_model_len: int = 4096,
        seconds_per_token: float = 0.0,
    ) -> None:
        self.tokenizer: Any = format_.tokenizer
        self.max_model_len, self.vocabulary = max_model_len, vocabulary
        self._format, self._words, self._one_in = format_, words, one_in
        self._stops = sorted(format_.stops | format_.end_of_turn)
        self._aborted: set[str] = set()
        self._seconds, self._dead = seconds_per_token, False

    def kill(self) -> None:
        """Die: whatever is being generated ends here, and nothing will be any more."""
        self._dead = True

    async def _step(self) -> None:
        await asyncio.sleep(self._seconds)
        await self.check()

    def next_token(
        self, context: Sequence[int], banned: frozenset[int], seed: int | None = None
    ) -> int:
        state = zlib.crc32(b"".join(token.to_bytes(4, "little") for token in context), seed or 0)
        mixed = (state * 0x9E3779B97F4A7C15 >> 24) & 0xFFFFFFFF
        ends = mixed % self._one_in == 0
        choice = self._stops if ends else self._words
        token = choice[mixed // self._one_in % len(choice)]
        return self._words[0] if token in banned else token

    async def generate(
        self, name: str, tokens: Sequence[int], call: GenerateCall, options: GenerateOptions
    ) -> AsyncGenerator[OutputDelta]:
        context, made = list(tokens), 0
        held: list[int] = []
        finish: Finish | None = None
        while finish is None:
            banned = call.stops if made < call.min_tokens else frozenset[int]()
            token = self.next_token(context, banned, options.params.seed)
            context.append(token)
            held.append(token)
            made += 1
            text = self._format.decode(context[len(tokens) :]) if call.stop_texts else ""
            if token in call.stops or any(stop in text for stop in call.stop_texts):
                finish = "stop"
            elif made == call.max_tokens or len(context) >= self.max_model_len:
                finish = "length"
            await self._step()
            if finish is None and name in self._aborted:
                finish = "abort"
            if finish or len(held) > context[-1] % 4:
                piece = _piece(held, finish, options)
                if made == len(held) and options.prompt_logprobs is not None:
                    piece = piece._replace(prompt=_scores(tokens[1:], options.prompt_logprobs))
                yield piece
                held = []

    def open_session(self, name: str, options: GenerateOptions) -> StreamingSession:
        return _StreamingSession(self, name, options)

    async def abort(self, names: Sequence[str]) -> None:
        self._aborted.update(names)

    def check_schema(self, schema: str) -> None:
        """It says what it says."""

    async def check(self) -> None:
        if self._dead:
            raise CoreDied("the toy core was killed")

    async def close(self) -> None:
        """It holds nothing."""


class _StreamingSession:
    def __init__(self, core: ToyCore, name: str, options: GenerateOptions) -> None:
        self._core, self._name, self._options = core, name, options
        self._inputs: asyncio.Queue[tuple[list[int], GenerateCall, bool]] = asyncio.Queue()

    def append(self, tokens: Sequence[int], call: GenerateCall, *, last: bool) -> None:
        self._inputs.put_nowait((list(tokens), call, last))

    async def deltas(self) -> AsyncGenerator[OutputDelta]:
        context: list[int] = []
        last = False
        while not last:
            tokens, call, last = await self._inputs.get()
            context += tokens
            made: list[int] = []
            async for piece in self._core.generate(self._name, context, call, self._options):
                made += piece.tokens
                yield piece
                if piece.finish == "abort":
                    return
            context += made[:-1]


def _piece(tokens: Sequence[int], finish: Finish | None, options: GenerateOptions) -> OutputDelta:
    if options.params.logprobs is None:
        return OutputDelta(tuple(tokens), finish)
    return OutputDelta(tuple(tokens), finish, _scores(tokens, options.params.logprobs))


def _scores(tokens: Sequence[int], top: int) -> tuple[TokenLogprobs, ...]:
    sure = [(token, -1.0 - token % 3) for token in tokens]
    top = max(1, top)
    return tuple(TokenLogprobs(each, (each,) * top, (token,) * top) for token, each in sure)
