"""One request under way: what has come of its chains, and what is still to be asked for."""

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from policies.signals import Probe
from workers.checkpoint import Checkpoint
from workers.engine import EngineEvent, SampleRequest
from workers.sample import ChainProgress, Delta, Sample, lost

T = TypeVar("T")

# Chains that were told to end get this long to say what they had cost.
CANCEL_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class InFlightRequest:
    """`waiting` are the chains that have not come back, in order; `replica` is where they are,
    `since` then; a living one was last `heard` of at that time, both by the loop's clock.
    """

    request: SampleRequest
    question: str
    waiting: list[int] = field(init=False)
    replica: str | None = None
    since: float = 0.0
    heard: float = 0.0
    suspect: bool = False
    on_probation: bool = False
    cancelled: set[int] = field(default_factory=set)
    concluded: set[int] = field(default_factory=set)
    moves: int = 0
    _told: dict[int, Checkpoint] = field(default_factory=dict)
    _held: list[Delta] = field(default_factory=list)
    _probed: set[tuple[int, int]] = field(default_factory=set)
    _timer: asyncio.Timeout | None = None

    def __post_init__(self) -> None:
        self.waiting = [*self.request.chains]

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled >= {*self.waiting}

    def again(self) -> SampleRequest:
        """The request for the chains that are still out, from where they stand."""
        request, waiting = self.request, tuple(self.waiting)
        places = tuple(self._place(chain) for chain in waiting)
        return replace(
            request,
            chains=waiting,
            stream=request.stream if request.stream in waiting else None,
            progress=True,
            checkpoints=places if any(places) else (),
        )

    def _place(self, chain: int) -> Checkpoint | None:
        place = self._told.get(chain)
        return replace(place or Checkpoint(), conclude=True) if chain in self.concluded else place

    @property
    def tokens(self) -> int:
        """What an engine has to read again, beside the prompt, to go on."""
        places = [self._told.get(chain, Checkpoint()) for chain in self.waiting]
        return sum(len(place.thinking) + len(place.answer) for place in places)

    def take(self, event: EngineEvent) -> Iterator[EngineEvent]:
        """What the caller is to hear of it: nothing twice, and no text that might come again."""
        if isinstance(event, Delta):
            self._held.append(event)
        elif isinstance(event, ChainProgress):
            before = self._told.get(event.chain, Checkpoint())
            self._told[event.chain] = before.then(event.news)
            yield from self._release(event.chain)
        elif isinstance(event, Probe):
            place = event.chain, event.thinking_tokens
            if place not in self._probed:
                self._probed.add(place)
                yield event
        elif isinstance(event, Sample):
            yield from self._release(event.chain)
            self.waiting.remove(event.chain)
            yield replace(event, moves=self.moves)
        else:
            yield event

    def _release(self, chain: int) -> Iterator[Delta]:
        yield from [delta for delta in self._held if delta.chain == chain]
        self._held = [delta for delta in self._held if delta.chain != chain]

    def move(self) -> None:
        """Leave the replica; text that is not covered by a checkpoint will come again."""
        self.replica = None
        self._held.clear()
        self.moves += 1

    def ended(self) -> Iterator[Sample]:
        """The cancelled chains, with what they are known to have cost."""
        resume = self.request.resume
        for chain in [chain for chain in self.waiting if chain in self.cancelled]:
            self.waiting.remove(chain)
            at = self._told.get(chain, Checkpoint())
            begun = resume.thinking_tokens if resume and at.begun else 0
            yield replace(
                lost(chain, "cancelled"),
                generated_tokens=at.generated_tokens(begun),
                forced_tokens=at.forced_tokens,
                discarded_tokens=at.discarded_tokens,
                probe_tokens=at.probe_tokens,
                seconds=at.seconds,
                moves=self.moves,
            )

    async def wait(self, awaited: Awaitable[T], seconds: float | None) -> T:
        """Raises TimeoutError; soon, once all chains are cancelled or it is interrupted."""
        try:
            async with asyncio.timeout(CANCEL_SECONDS if self.is_cancelled else seconds) as timer:
                self._timer = timer
                return await awaited
        finally:
            self._timer = None

    def cancel(self, chain: int | None) -> None:
        self.cancelled |= {*self.waiting} if chain is None else {chain}
        if self.is_cancelled:
            self.interrupt(CANCEL_SECONDS)

    def interrupt(self, seconds: float = 0.0) -> None:
        """Let what is waited for come within so many seconds, or not at all."""
        if self._timer and not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time() + seconds)
