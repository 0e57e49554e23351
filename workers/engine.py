"""The protocol of every engine: real, simulated, replayed, or one behind a network.

An engine takes a `SampleRequest` and yields `Accepted`, then `Delta`s of the chain to be shown,
then one `Sample` per chain as each finishes; `Probe`s in between where they were asked for. Closing
the iterator drops what is still running; `cancel` ends it in good order, so that its tokens are
accounted for. A chain that dies with its worker comes back as a `Sample` with stop cause "lost".
Where `ChainProgress` is requested, another engine can go on with such a chain from the last
one.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from policies.plan import Budget
from policies.sampling import SamplingParams
from policies.signals import Probe, Probing, Signals
from workers.completion import CompletionEvent, CompletionRequest
from workers.forcing.checkpoint import Checkpoint
from workers.sample import Accepted, ChainProgress, Delta, Sample


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
    is whether a request's seed is heeded; `greedy` whether the thinking format means a single
    chain to be greedy. `sampling` is what its makers recommend and is in force, in words.
    """

    model: str
    format: str
    max_model_len: int
    temperature: float
    slots: int
    seeds: bool = False
    greedy: bool = True
    sampling: str = ""


class Load(NamedTuple):
    """How busy an engine is: chains running, chains waiting, share of its chain slots in use."""

    running: int
    waiting: int
    utilisation: float


class ReplicaStatus(NamedTuple):
    """One engine of a fleet, as it is now.

    `owed_tokens` is what its running and waiting chains are expected to generate yet. `is_gone` is
    whether it died, fell silent or left within the last minute; its counts are 0 then.
    """

    name: str
    running: int = 0
    waiting: int = 0
    utilisation: float = 0.0
    owed_tokens: int = 0
    is_gone: bool = False


# Role and content, and for some JSON of what else the chat template reads of the turn.
MessageTuple = tuple[str, str] | tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """Chains to sample for one query."""

    #: Id of the query: `cancel` and `conclude` name it.
    query: str
    messages: tuple[MessageTuple, ...]
    #: Numbers that the samples will carry.
    chains: tuple[int, ...]
    budget: Budget
    sampling: SamplingParams = SamplingParams()
    #: Chains whose thinking these go on from, one a chain: to extend a finished one under its own
    #: number, or to branch off a paused one. Empty: new chains.
    parents: tuple[Sample, ...] = ()
    #: Whether the chains think no more and answer at once.
    conclude: bool = False
    #: The chain whose text is streamed. None: no chain.
    stream: int | None = None
    #: Appended to the last user message as it is.
    suffix: str = ""
    #: Where to branch off trial answers. None: nowhere.
    probing: Probing | None = None
    #: Asks for the confidence of every chain. None: it is not measured.
    signals: Signals | None = None
    #: Tokens that all chains will likely take; only used to spread the load. None: unknown.
    expected_tokens: int | None = None
    #: Asks for `ChainProgress` of every chain.
    progress: bool = False
    #: Where the chains go on, one a chain; None in it: that chain starts from the prompt.
    checkpoints: tuple[Checkpoint | None, ...] = ()

    def parent(self, chain: int) -> Sample | None:
        return self.parents[self.chains.index(chain)] if self.parents else None

    @property
    def affinity(self) -> str | None:
        """The replica that has the thinking these chains go on from."""
        return self.parents[0].replica or None if self.parents else None

    def checkpoint(self, chain: int) -> Checkpoint | None:
        return self.checkpoints[self.chains.index(chain)] if self.checkpoints else None


EngineEvent = Accepted | Delta | ChainProgress | Probe | Sample


@runtime_checkable
class Fleet(Protocol):
    """An engine that is made of several."""

    async def replica_statuses(self) -> tuple[ReplicaStatus, ...]:
        """Those that are there, and those that went lately; what does not reply is left out."""


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

    def stats(self) -> Mapping[str, int]:
        """Counters of what happened to its engines; empty for a single engine."""

    async def check(self) -> None:
        """Raise if the engine cannot serve."""

    async def close(self) -> None: ...
