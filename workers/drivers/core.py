"""What drivers need of an inference engine: tokens in, tokens out. vLLM is one (vllm/core.py)."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from policies.sampling import SamplingParams
from workers.forcing.chain import Finish, GenerateCall
from workers.format import Tokenizer


class CoreDied(Exception):
    """The engine is gone, or hangs: nothing that was asked of it will come."""


# JSON has no infinity; vLLM's and OpenAI's endpoints say this of what cannot come.
LEAST = -9999.0


def floored(logprob: float) -> float:
    """At least `LEAST`; that, too, of what is no number, as a model says whose weights overflow."""
    return logprob if logprob > LEAST else LEAST


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
class GenerateOptions:
    """How the tokens of one call are sampled and returned."""

    #: `logprobs` here is how many of the likeliest tokens to report with each token.
    params: SamplingParams = SamplingParams()
    #: Whether deltas are wanted as they come; else the core may hold them back.
    live: bool = False
    #: Chains running at once. With many of them a live delta may hold several tokens.
    concurrency: int = 1
    #: Whether the model runs on past its end of turn, to the end of the call.
    ignore_end_of_turn: bool = False
    #: JSON schema that the output is held to, as text. None: free text.
    schema: str | None = None
    #: Log-probabilities of the prompt's tokens and of so many likeliest ones. None: none.
    prompt_logprobs: int | None = None
    #: Whether what is not asked for is as the model's makers recommend; else it is neutral.
    recommended: bool = True


class StreamingSession(Protocol):
    """One request that is continued with further tokens, its KV cache kept.

    At the end of each call the core forgets the last token that it sampled.
    """

    def append(self, tokens: Sequence[int], call: GenerateCall, *, last: bool) -> None:
        """Append tokens and ask for a call; the `last` one ends the session."""

    def deltas(self) -> AsyncGenerator[OutputDelta]:
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
        self, name: str, tokens: Sequence[int], call: GenerateCall, options: GenerateOptions
    ) -> AsyncGenerator[OutputDelta]: ...

    def open_session(self, name: str, options: GenerateOptions) -> StreamingSession: ...

    async def abort(self, names: Sequence[str]) -> None: ...

    async def check(self) -> None:
        """Raise CoreDied if the core cannot serve."""

    async def close(self) -> None: ...
