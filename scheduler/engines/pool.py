"""Engines that can die, as a gateway sees them: what scheduler/engines/failover.py is built on."""

from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from workers.completion import CompletionEvent, CompletionRequest
from workers.engine import EngineEvent, EngineInfo, Load, ReplicaStatus, SampleRequest


class EventBatch(NamedTuple):
    """Events of one call that a replica sends together; an empty one says that it is alive.

    `leaving`: the replica is being drained, and this is the last batch of the call.
    """

    replica: str
    events: tuple[EngineEvent, ...] = ()
    leaving: bool = False


class Taken(NamedTuple):
    """The replica of this name has taken a call."""

    replica: str


class EngineDied(Exception):
    """A replica is gone, or cannot be reached, with whatever was asked of it.

    The message says what it did, for logs: "cannot be reached".
    """


class EnginePool(Protocol):
    """Replicas of one engine. Every method may be called while replicas die, come and leave."""

    def call(
        self, request: SampleRequest, affinity: str | None, avoid: tuple[str, ...]
    ) -> AsyncGenerator[EventBatch]:
        """Sample on one replica, and wait while there is none at all.

        Takes `affinity` while it has room, and one of `avoid` only if there is no other. The first
        batch says which replica has taken the call. Closing it ends the call. Raises Refused before
        the first batch, and EngineDied at any moment.
        """

    def complete(
        self, request: CompletionRequest, avoid: tuple[str, ...]
    ) -> AsyncGenerator[Taken | CompletionEvent]:
        """Complete on one replica, which `Taken` names first; one of `avoid` only if there is no
        other. Closing it ends the call. Raises Refused, and EngineDied at any moment.
        """

    async def info(self) -> EngineInfo:
        """What all replicas have in common, from any of them."""

    async def load(self) -> Load:
        """How busy the replicas are."""

    async def replica_statuses(self) -> tuple[ReplicaStatus, ...]:
        """Of the replicas that reply in time."""

    async def cancel(
        self, query: str, chain: int | None = None, *, replica: str | None = None
    ) -> None:
        """Reaches `replica`, or all of them (None); one that hangs is not waited for."""

    async def conclude(self, query: str, chain: int, *, replica: str | None = None) -> None:
        """Reaches `replica`, or all of them (None); one that hangs is not waited for."""

    async def check(self) -> None:
        """Raise if no replica can serve."""

    async def close(self) -> None: ...
