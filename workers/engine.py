"""The face of every engine: real, simulated, replayed, or one behind a network.

An engine takes a `SampleRequest` and yields `Accepted`, then `Delta`s of the chain to be shown,
then one `Sample` per chain as each finishes; `Probe`s in between where they were asked for. Closing
the iterator drops what is still running; `cancel` ends it in good order, so that its tokens are
accounted for. A chain that dies with its worker comes back as a `Sample` with stop cause "lost".
Where `ChainProgress` is asked for, another engine can go on with such a chain from what it has
told.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from workers.checkpoint import Checkpoint
from workers.completion import CompletionEvent, CompletionRequest
from workers.forcing import Forcing
from workers.sample import Accepted, ChainProgress, Delta, Probe, Sample


class Refused(ValueError):
    """The request cannot be run as it is. `field` names the part of it that is wrong."""

    def __init__(self, field: str, why: str, code: str = "invalid_value") -> None:
        super().__init__(field, why, code)
        self.field, self.why, self.code = field, why, code

    def __str__(self) -> str:
        return self.why


class EngineInfo(NamedTuple):
    """What the scheduler must know of an engine.

    `temperature` is the model's recommended one; `slots` is how many chains run at once; `seeds`
    tells whether a request's seed is heeded.
    """

    model: str
    format: str
    max_model_len: int
    temperature: float
    slots: int
    seeds: bool = False


class Load(NamedTuple):
    """How busy an engine is: chains running, chains waiting, share of its chain slots in use."""

    running: int
    waiting: int
    utilisation: float


@dataclass(frozen=True, slots=True)
class Probing:
    """Where to branch trial answers off a chain: after `at` thinking tokens, after `every` so many,
    at the ends of paragraphs, or before extensions. `most` bounds the trials of one chain, and
    `answer_tokens` the length of one.
    """

    at: tuple[int, ...] = ()
    every: int | None = None
    paragraphs: bool = False
    extensions: bool = False
    answer_tokens: int = 16
    most: int = 64


@dataclass(frozen=True, slots=True)
class Signals:
    """Asks for a `Confidence`: of the `top` likeliest tokens, in windows of `window` tokens.

    A chain whose window falls below `end_below` ends at once, "unsure" (DeepConf's online form).
    """

    top: int = 20
    window: int = 2048
    end_below: float | None = None


# Role and content, and for some JSON of what else the chat template reads of the turn.
MessageTuple = tuple[str, str] | tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """Chains to sample for one query.

    `chains` are the numbers that the samples will carry. `resume` holds one finished chain to go
    on with (then `chains` is its number only). `stream` is the chain whose text is wanted live.
    `suffix` is appended to the last user message as it is.

    `logprobs` asks for those of the answer's tokens, and of so many of the likeliest at each.
    `tools`, `tool_choice` and `response_format` are OpenAI's, as JSON. Of requests that wait, the
    one of the lowest `priority` runs first. Only requests of one `salt` share cached prefixes.
    `expected_tokens` is what all the chains will likely take; it only helps to spread the load.

    `progress` asks for `ChainProgress` of every chain; `checkpoints`, one a chain, are where they
    go on, None where a chain begins anew.
    """

    query: str
    messages: tuple[MessageTuple, ...]
    chains: tuple[int, ...]
    forcing: Forcing
    temperature: float | None = None
    resume: Sample | None = None
    stream: int | None = None
    suffix: str = ""
    probing: Probing | None = None
    signals: Signals | None = None
    top_p: float | None = None
    seed: int | None = None
    logprobs: int | None = None
    tools: str | None = None
    tool_choice: str | None = None
    response_format: str | None = None
    priority: int = 0
    salt: str = ""
    expected_tokens: int | None = None
    progress: bool = False
    checkpoints: tuple[Checkpoint | None, ...] = ()

    def checkpoint(self, chain: int) -> Checkpoint | None:
        return self.checkpoints[self.chains.index(chain)] if self.checkpoints else None


EngineEvent = Accepted | Delta | ChainProgress | Probe | Sample


class Engine(Protocol):
    async def info(self) -> EngineInfo: ...

    def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]: ...

    def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        """`Accepted`, pieces of the text, `Completed`; to close the iterator ends it."""

    async def cancel(self, query: str, chain: int | None = None) -> None:
        """End one running chain of a query, or all: they come back "cancelled", with their cost."""

    async def conclude(self, query: str, chain: int) -> None:
        """End the thinking of a running chain now: it answers, and comes back "early_exit"."""

    async def load(self) -> Load: ...

    async def check(self) -> None:
        """Raise if the engine cannot serve."""

    async def close(self) -> None: ...
