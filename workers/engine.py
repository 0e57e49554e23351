"""The face of every engine: real, simulated, replayed, or one behind a network.

An engine takes a `SampleRequest` and yields `Accepted`, then `Delta`s of the chain to be shown,
then one `Sample` per chain as each finishes. Closing the iterator drops what is still running;
`cancel` ends it in good order, so that its tokens are accounted for. A chain that dies with its
worker comes back as a `Sample` with stop cause "lost".
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from workers.forcing import Forcing
from workers.sample import Accepted, Delta, Sample


class Refused(ValueError):
    """The request cannot be run as it is. `field` names the part of it that is wrong."""

    def __init__(self, field: str, why: str, code: str = "invalid_value") -> None:
        super().__init__(field, why, code)
        self.field, self.why, self.code = field, why, code

    def __str__(self) -> str:
        return self.why


class EngineInfo(NamedTuple):
    """What the scheduler must know of an engine.

    `temperature` is the model's recommended one; `slots` is how many chains run at once.
    """

    model: str
    format: str
    max_model_len: int
    temperature: float
    slots: int


class Load(NamedTuple):
    """How busy an engine is: chains running, chains waiting, share of its chain slots in use."""

    running: int
    waiting: int
    utilisation: float


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """Chains to sample for one query.

    `chains` are the numbers that the samples will carry. `resume` holds one finished chain to go
    on with (then `chains` is its number only). `stream` is the chain whose text is wanted live.
    """

    query: str
    messages: tuple[tuple[str, str], ...]
    chains: tuple[int, ...]
    forcing: Forcing
    temperature: float | None = None
    resume: Sample | None = None
    stream: int | None = None


Event = Accepted | Delta | Sample


class Engine(Protocol):
    async def info(self) -> EngineInfo: ...

    def sample(self, request: SampleRequest) -> AsyncGenerator[Event]: ...

    async def cancel(self, query: str) -> None:
        """End all running chains of a query: each comes back "cancelled", with what it cost."""

    async def load(self) -> Load: ...

    async def check(self) -> None:
        """Raise if the engine cannot serve."""

    async def close(self) -> None: ...
