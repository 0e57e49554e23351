"""A core without a model: the next token is a hash of all before it. For tests of drivers.

It ends, masks, forgets and aborts as a real one does, dies on command, and gives its pieces in
sizes that vary.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from workers.chain_spec import ChainSpec
from workers.core import CoreDied, OutputDelta, Sampling, StreamingSession, TokenLogprobs
from workers.forcing import Finish, GenerateCall
from workers.format import TokenFormat
from workers.in_engine import KEY, Force, InEngine


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
        self, name: str, tokens: Sequence[int], call: GenerateCall, sampling: Sampling
    ) -> AsyncGenerator[OutputDelta]:
        context, made = list(tokens), 0
        held: list[int] = []
        finish: Finish | None = None
        while finish is None:
            banned = call.stops if made < call.min_tokens else frozenset[int]()
            token = self.next_token(context, banned, sampling.seed)
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
                piece = _piece(held, finish, sampling)
                if made == len(held) and sampling.prompt_logprobs is not None:
                    piece = piece._replace(prompt=_scores(tokens[1:], sampling.prompt_logprobs))
                yield piece
                held = []

    def open_session(self, name: str, sampling: Sampling) -> StreamingSession:
        return _StreamingSession(self, name, sampling)

    async def generate_forced(
        self, name: str, tokens: Sequence[int], order: dict[str, Any], sampling: Sampling
    ) -> AsyncGenerator[OutputDelta]:
        spec = ChainSpec.from_json(order["extra_args"][KEY])
        inside = InEngine(spec.chain(self._format), self.vocabulary)
        context = list(tokens)
        for made in range(1, order["max_tokens"] + 1):
            wanted = inside.wanted()
            if isinstance(wanted, Force):
                token = wanted.token
            else:
                token = self.next_token(context, wanted.masked, sampling.seed)
                if token in wanted.intercepted:
                    token = inside.stop_drawn(token)
            inside.commit(token)
            context.append(token)
            await self._step()
            finish: Finish | None = "stop" if token in order["stop_token_ids"] else None
            if finish is None and name in self._aborted:
                finish = "abort"
            elif finish is None and made == order["max_tokens"]:
                finish = "length"
            yield _piece([token], finish, sampling)
            if finish is not None:
                return

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
    def __init__(self, core: ToyCore, name: str, sampling: Sampling) -> None:
        self._core, self._name, self._sampling = core, name, sampling
        self._inputs: asyncio.Queue[tuple[list[int], GenerateCall, bool]] = asyncio.Queue()

    def say(self, tokens: Sequence[int], call: GenerateCall, *, last: bool) -> None:
        self._inputs.put_nowait((list(tokens), call, last))

    async def pieces(self) -> AsyncGenerator[OutputDelta]:
        context: list[int] = []
        last = False
        while not last:
            tokens, call, last = await self._inputs.get()
            context += tokens
            made: list[int] = []
            async for piece in self._core.generate(self._name, context, call, self._sampling):
                made += piece.tokens
                yield piece
                if piece.finish == "abort":
                    return
            context += made[:-1]


def _piece(tokens: Sequence[int], finish: Finish | None, sampling: Sampling) -> OutputDelta:
    if sampling.logprobs is None:
        return OutputDelta(tuple(tokens), finish)
    return OutputDelta(tuple(tokens), finish, _scores(tokens, sampling.logprobs))


def _scores(tokens: Sequence[int], top: int) -> tuple[TokenLogprobs, ...]:
    sure = [(token, -1.0 - token % 3) for token in tokens]
    top = max(1, top)
    return tuple(TokenLogprobs(each, (each,) * top, (token,) * top) for token, each in sure)
