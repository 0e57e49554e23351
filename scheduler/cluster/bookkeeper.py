"""The curve book behind Ray Serve, one for all gateways. Imports ray.

It is off the request path: while it is away, gateways serve on with the curves they have, and keep
what they would have told it.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from scheduler.bookcopy import BookCopy
from scheduler.curvebook import Edition, Report
from scheduler.feedback import Feedback, FeedbackConfig, Label, Verdict
from scheduler.journal import KeptBook

log = logging.getLogger("thinkbudget")

EXCHANGE_SECONDS = 0.25
LOCK_SECONDS = 10.0


class Bookkeeper:
    """The one writer of the curves; keeps them in a file when it is given one."""

    def __init__(
        self,
        path: str | None,
        round_tokens: float = 0.0,
        feedback: FeedbackConfig | None = None,
    ) -> None:
        self._kept = KeptBook(
            Path(path) if path else None,
            wait_seconds=LOCK_SECONDS,
            round_tokens=round_tokens,
            feedback=Feedback(feedback),
        )

    async def exchange(self, report: Report, life: str, version: int) -> Edition:
        return self._kept.exchange(report, life, version)

    async def label(self, label: Label) -> Verdict:
        return self._kept.label(label)

    async def export(self) -> dict[str, Any]:
        return self._kept.book.as_dict()

    def __del__(self) -> None:
        self._kept.close()


class RemoteBook:
    """The Bookkeeper seen from a gateway."""

    def __init__(self, handle: "DeploymentHandle[Bookkeeper]") -> None:
        self._handle = handle

    async def exchange(self, report: Report, life: str, version: int) -> Edition:
        with _away_as_connection_error():
            edition: Edition = await self._handle.exchange.remote(report, life, version)
        return edition

    async def label(self, label: Label) -> Verdict:
        with _away_as_connection_error():
            verdict: Verdict = await self._handle.label.remote(label)
        return verdict

    async def export(self) -> dict[str, Any]:
        book: dict[str, Any] = await self._handle.export.remote()
        return book


@contextmanager
def _away_as_connection_error() -> Iterator[None]:
    try:
        yield
    except (RayError, RayServeException) as error:
        raise ConnectionError(f"the bookkeeper is away: {type(error).__name__}") from error


async def keep_exchanging(copy: BookCopy) -> None:
    while True:
        await asyncio.sleep(EXCHANGE_SECONDS)
        try:
            await copy.exchange()
        except ConnectionError as error:
            log.warning("%s", error)
