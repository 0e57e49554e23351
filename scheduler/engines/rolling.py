"""Engines restarted one after another, while the others serve."""

import asyncio
from typing import Protocol

from workers.engine import ReplicaStatus

POLL_SECONDS = 0.5


class RestartablePool(Protocol):
    async def replica_statuses(self) -> tuple[ReplicaStatus, ...]: ...

    async def restart(self, replica: str) -> None:
        """Drain a replica, so that its chains go on elsewhere, and have a fresh one start."""


async def restart_in_turn(pool: RestartablePool, *, seconds: float) -> int:
    """Restart every engine of a pool; how many. The next one leaves once all are there again.

    Raises ValueError where they are not after so many seconds: the rest stays as it was.
    """
    loop = asyncio.get_running_loop()
    before = {status.name for status in await pool.replica_statuses() if not status.is_gone}
    if not before:
        raise ValueError("no engine has replied; none was restarted")
    for done, name in enumerate(sorted(before)):
        await pool.restart(name)
        ends = loop.time() + seconds
        while len(await pool.replica_statuses()) < len(before):
            if loop.time() >= ends:
                raise ValueError(
                    f"engine {name} has not come back in {seconds:g} s; "
                    f"{done} of {len(before)} were restarted"
                )
            await asyncio.sleep(POLL_SECONDS)
    return len(before)
