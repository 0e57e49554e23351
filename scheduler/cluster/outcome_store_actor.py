"""The owner of a SQLite store behind Ray Serve, one for all gateways. Imports ray.

No request waits for it. While it is away, gateways spool what they have to tell.
"""

from typing import TYPE_CHECKING

from ray.serve.handle import DeploymentHandle

from scheduler.cluster.unreachable import UNREACHABLE
from scheduler.logs import LogLevel, configure
from scheduler.store.settings import StoreConfig

if TYPE_CHECKING:
    from scheduler.store.outcome_store import Written


class OutcomeStoreActor:
    """Writes the batches of all gateways, one after another."""

    def __init__(self, config: StoreConfig, log_level: LogLevel = "warning") -> None:
        from scheduler.store.sink import StoreSink

        configure(log_level)
        self._sink = StoreSink(config)

    async def write(self, lines: list[bytes]) -> "Written | str":
        """What came of a batch; a text says why the store could not take it."""
        try:
            return await self._sink.write(lines)
        except ConnectionError as error:
            return str(error)


class RemoteStore:
    """The store as a gateway sees it. A `Sink` for a `StoreWriter`."""

    def __init__(self, handle: "DeploymentHandle[OutcomeStoreActor]") -> None:
        self._handle = handle

    async def write(self, lines: list[bytes]) -> "Written":
        try:
            written: Written | str = await self._handle.write.remote(lines)
        except UNREACHABLE as error:
            raise ConnectionError(f"its owner is away: {type(error).__name__}") from error
        if isinstance(written, str):
            raise ConnectionError(written)
        return written

    async def close(self) -> None:
        """The owner is not this process."""
