"""One request under way on the engine pool: what has come of its chains, what is still out."""

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple, TypeVar

from policies.signals import Probe
from scheduler.engines.suspects import TrackedRequest
from workers.engine import EngineEvent, SampleRequest
from workers.forcing.checkpoint import Checkpoint
from workers.sample import ChainProgress, Delta, Sample, lost

T = TypeVar("T")

# Chains that were cancelled have so many seconds to report what they cost.
CANCEL_SECONDS = 1.0


class Finished(NamedTuple):
    """The replica has nothing more to do for the request."""


class Moved(NamedTuple):
    """The replica leaves in good order; the chains that are out go on elsewhere."""

    reason: str


class Lost(NamedTuple):
    """The replica died, hangs, or lost a chain; the chains that are out go on elsewhere."""

    reason: str


# How one replica's attempt at a request ended.
AttemptResult = Finished | Moved | Lost


class NoAnswer(Enum):
    """Why `InFlightRequest.wait` has no result."""

    SILENT = "nothing came in time"
    INTERRUPTED = "the request was cancelled or put into quarantine"


@dataclass(slots=True, eq=False)
class InFlightRequest(TrackedRequest):
    """Chains under way: which are out, where they can go on, and what was passed on of them."""

    request: SampleRequest
    #: Chains that have not come back, in order.
    waiting: list[int] = field(init=False)
    #: When an available replica last sent something.
    last_heard: float = 0.0
    #: Chains with a request to end, which is repeated to a new replica.
    cancelled: set[int] = field(default_factory=set)
    concluded: set[int] = field(default_factory=set)
    #: Whether the present attempt has brought anything.
    progressed: bool = False
    #: How often its chains have changed the replica.
    migrations: int = 0
    #: Whether it is to be given up because of the quarantine.
    interrupted: bool = False
    #: What every chain that has begun has generated, by its number.
    _checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    #: Text that no checkpoint covers yet: it may come again, and is not shown.
    _held: list[Delta] = field(default_factory=list)
    #: Trial answers that were passed on: chain, and its thinking tokens.
    _probed: set[tuple[int, int]] = field(default_factory=set)
    #: The limit of what is waited for now.
    _timer: asyncio.Timeout | None = None

    def __post_init__(self) -> None:
        self.waiting = [*self.request.chains]

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled >= {*self.waiting}

    def remaining(self) -> SampleRequest:
        """The request for the chains that are out, from where they stand."""
        request, waiting = self.request, tuple(self.waiting)
        checkpoints = tuple(self._checkpoint(chain) for chain in waiting)
        parents = tuple(one for chain in waiting if (one := request.parent(chain)))
        return replace(
            request,
            chains=waiting,
            stream=request.stream if request.stream in waiting else None,
            progress=True,
            parents=parents,
            checkpoints=checkpoints if any(checkpoints) else (),
        )

    def _checkpoint(self, chain: int) -> Checkpoint | None:
        at = self._checkpoints.get(chain)
        return replace(at or Checkpoint(), conclude=True) if chain in self.concluded else at

    @property
    def tokens(self) -> int:
        """What an engine has to read again, beside the prompt, to go on."""
        at = [self._checkpoints.get(chain, Checkpoint()) for chain in self.waiting]
        return sum(len(one.thinking) + len(one.answer) for one in at)

    def take(self, event: EngineEvent) -> Iterator[EngineEvent]:
        """What to pass on of an event: nothing twice, and no text that might come again."""
        if isinstance(event, Delta):
            self._held.append(event)
        elif isinstance(event, ChainProgress):
            before = self._checkpoints.get(event.chain, Checkpoint())
            self._checkpoints[event.chain] = before.then(event.news)
            yield from self._release(event.chain)
        elif isinstance(event, Probe):
            place = event.chain, event.thinking_tokens
            if place not in self._probed:
                self._probed.add(place)
                yield event
        elif isinstance(event, Sample):
            yield from self._release(event.chain)
            self.waiting.remove(event.chain)
            yield replace(event, migrations=self.migrations)
        else:
            yield event

    def _release(self, chain: int) -> Iterator[Delta]:
        yield from [delta for delta in self._held if delta.chain == chain]
        self._held = [delta for delta in self._held if delta.chain != chain]

    def migrate(self) -> None:
        """Leave the replica; text that no checkpoint covers will come again."""
        self.replica = None
        self._held.clear()
        self.migrations += 1

    def cancelled_samples(self) -> Iterator[Sample]:
        """The cancelled chains that are out, with what they are known to have cost."""
        for chain in [chain for chain in self.waiting if chain in self.cancelled]:
            self.waiting.remove(chain)
            at = self._checkpoints.get(chain, Checkpoint())
            parent = self.request.parent(chain)
            begun = parent.thinking_tokens if parent and at.begun else 0
            yield replace(
                lost(chain, "cancelled"),
                generated_tokens=at.generated_tokens(begun),
                forced_tokens=at.forced_tokens,
                discarded_tokens=at.discarded_tokens,
                probe_tokens=at.probe_tokens,
                seconds=at.seconds,
                migrations=self.migrations,
            )

    async def wait(self, awaited: Awaitable[T], seconds: float | None) -> T | NoAnswer:
        """The result, if it comes within so many seconds (None: whenever it comes).

        It is given up at once when the request is interrupted, and soon after all its chains were
        cancelled.
        """
        limit = CANCEL_SECONDS if self.is_cancelled else seconds
        try:
            async with asyncio.timeout(0.0 if self.interrupted else limit) as self._timer:
                return await awaited
        except TimeoutError:
            ended = self.is_cancelled or self.interrupted
            return NoAnswer.INTERRUPTED if ended else NoAnswer.SILENT
        finally:
            self._timer = None

    def cancel(self, chain: int | None) -> None:
        self.cancelled |= {*self.waiting} if chain is None else {chain}
        if self.is_cancelled:
            self._end_wait(CANCEL_SECONDS)

    def interrupt(self) -> None:
        """Give up what is waited for, now."""
        self.interrupted = True
        self._end_wait(0.0)

    def _end_wait(self, seconds: float) -> None:
        if self._timer and not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time() + seconds)
