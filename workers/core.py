"""What drivers need of an inference engine: tokens in, tokens out. vLLM is one (vllm_core.py)."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from workers.forcing import Finish, GenerateCall
from workers.format import Tokenizer


class CoreDied(Exception):
    """The engine is gone, or hangs: nothing that was asked of it will come."""


class TokenLogprobs(NamedTuple):
    """Natural logarithms: of the token that came, and of the likeliest ones, `ids`, falling."""

    sampled: float
    top: tuple[float, ...]
    ids: tuple[int, ...] = ()


class OutputDelta(NamedTuple):
    """Newly generated tokens; `finish` ends the call. `logprobs` is empty or one a token.

    `prompt` are those of the prompt's tokens but the first, in one of the pieces.
    """

    tokens: tuple[int, ...]
    finish: Finish | None
    logprobs: tuple[TokenLogprobs, ...] = ()
    prompt: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """`temperature=None` is the model's recommended one. `live` wants pieces as they come (a few
    tokens at a time in a `crowd` of so many chains), else the core may hold them back to the end of
    the call. `logprobs` is how many of the likeliest tokens to report (None: no log-probabilities
    at all), `prompt_logprobs` the same of the prompt. `ignore_end_of_turn` lets the model run on,
    to the end of its call. What is generated is JSON of `schema`, a JSON schema as text. Of
    calls that wait, those of the lowest `priority` run first. Only calls of one `salt` share what
    the core has cached of their prompts.
    """

    temperature: float | None = None
    live: bool = False
    crowd: int = 1
    logprobs: int | None = None
    ignore_end_of_turn: bool = False
    top_p: float | None = None
    seed: int | None = None
    schema: str | None = None
    prompt_logprobs: int | None = None
    priority: int = 0
    salt: str = ""


class StreamingSession(Protocol):
    """One request that is continued with further tokens, its KV cache kept.

    At the end of each call the core forgets the last token that it sampled.
    """

    def say(self, tokens: Sequence[int], call: GenerateCall, *, last: bool) -> None:
        """Append tokens and ask for a call; the `last` one ends the conversation."""

    def pieces(self) -> AsyncGenerator[OutputDelta]:
        """What is generated, over all calls."""


class Core(Protocol):
    """`name`s are unique to one request at a time; `abort` ends it with finish "abort"."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def max_model_len(self) -> int: ...

    @property
    def vocabulary(self) -> int:
        """Token ids below this are the model's."""

    @property
    def seeds(self) -> bool:
        """Whether it heeds seeds."""

    def check_schema(self, schema: str) -> None:
        """Raise a ValueError if it cannot hold an answer to this JSON schema."""

    def generate(
        self, name: str, tokens: Sequence[int], call: GenerateCall, sampling: Sampling
    ) -> AsyncGenerator[OutputDelta]: ...

    def open_session(self, name: str, sampling: Sampling) -> StreamingSession: ...

    def generate_forced(
        self, name: str, tokens: Sequence[int], order: dict[str, Any], sampling: Sampling
    ) -> AsyncGenerator[OutputDelta]:
        """A whole chain in one request, forced inside the engine (workers/in_engine.py)."""

    async def abort(self, names: Sequence[str]) -> None: ...

    async def check(self) -> None:
        """Raise CoreDied if the core cannot serve."""

    async def close(self) -> None: ...
