"""Engines that can die, as a gateway sees them: what scheduler/engines/failover.py is built on."""

from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from workers.completion import CompletionEvent, CompletionRequest
from workers.engine import EngineEvent, EngineInfo, Load, SampleRequest


class EventBatch(NamedTuple):
    """Events of one call that a replica sends together; an empty one says that it is alive.

    After one that is `leaving` nothing more comes: the replica was told to go.
    """

    replica: str
    events: tuple[EngineEvent, ...] = ()
    leaving: bool = False


class EngineDied(Exception):
    """A replica is gone, or cannot be reached, with whatever was asked of it.

    The message says what it did, for logs: "cannot be reached".
    """


class EnginePool(Protocol):
    """Replicas of one engine. `cancel` and `conclude` reach whichever has the query."""

    def call(
        self, request: SampleRequest, affinity: str | None, avoid: tuple[str, ...]
    ) -> AsyncGenerator[EventBatch]:
        """Sample on one replica: at `affinity` while it has room, on one to `avoid` only if there
        is no other; waits while there is none at all. Raises Refused, and EngineDied at any moment.
        """

    def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        """On any replica. Raises Refused, and EngineDied at any moment."""

    async def info(self) -> EngineInfo: ...

    async def load(self) -> Load: ...

    async def cancel(self, query: str, chain: int | None = None) -> None: ...

    async def conclude(self, query: str, chain: int) -> None: ...

    async def check(self) -> None: ...

    async def close(self) -> None: ...
