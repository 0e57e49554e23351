"""The curve book behind Ray Serve, one for all gateways. Imports ray.

It is off the request path: while it is away, gateways serve on with the curves they have, and keep
what they would have told it.
"""

import asyncio
import logging
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from scheduler.bookcopy import BookCopy
from scheduler.curvebook import Edition, Report
from scheduler.journal import KeptBook

log = logging.getLogger("thinkbudget")

EXCHANGE_SECONDS = 0.25
LOCK_SECONDS = 10.0


class Bookkeeper:
    """The one writer of the curves; keeps them in a file when it is given one."""

    def __init__(self, path: str | None) -> None:
        self._kept = KeptBook(Path(path) if path else None, wait_seconds=LOCK_SECONDS)

    async def exchange(self, report: Report, life: str, version: int) -> Edition:
        return self._kept.exchange(report, life, version)

    async def export(self) -> dict[str, Any]:
        return self._kept.book.as_dict()

    def __del__(self) -> None:
        self._kept.close()


class RemoteBook:
    """The Bookkeeper seen from a gateway."""

    def __init__(self, handle: "DeploymentHandle[Bookkeeper]") -> None:
        self._handle = handle

    async def exchange(self, report: Report, life: str, version: int) -> Edition:
        edition: Edition = await self._handle.exchange.remote(report, life, version)
        return edition

    async def export(self) -> dict[str, Any]:
        book: dict[str, Any] = await self._handle.export.remote()
        return book


async def keep_exchanging(copy: BookCopy) -> None:
    while True:
        await asyncio.sleep(EXCHANGE_SECONDS)
        try:
            await copy.exchange()
        except (RayError, RayServeException) as error:
            log.warning("the bookkeeper is away: %s", type(error).__name__)
