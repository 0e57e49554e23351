"""The curve book and the claims behind Ray Serve, one for all gateways. Imports ray.

Only requests with an idempotency key wait for it. While it is away, gateways serve on with the
curves and replies they have, and keep what they would have told it of curves.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.serve.handle import DeploymentHandle

from scheduler.api.middleware.claims import Claims, Found, Name, Reply
from scheduler.cluster.unreachable import UNREACHABLE
from scheduler.curves.cache import BookCopy
from scheduler.curves.feedback import Feedback, FeedbackConfig, Label, Verdict
from scheduler.curves.store import Edition, Report
from scheduler.curves.wal import KeptBook
from scheduler.engines.quarantine import Quarantine

log = logging.getLogger("thinkbudget")

EXCHANGE_SECONDS = 0.25
LOCK_SECONDS = 10.0
# Serve lets a call wait for a replica that is being replaced; a request does not wait so long.
CLAIM_SECONDS = 3.0


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
        self._claims = Claims()
        self._quarantine = Quarantine()

    async def exchange(
        self, report: Report, life: str, version: int, held: Mapping[str, float]
    ) -> tuple[Edition, dict[str, float]]:
        """Of curves, and of what each gateway has put away: all come to know of all."""
        self._quarantine.hold(held)
        return self._kept.exchange(report, life, version), self._quarantine.held()

    async def label(self, label: Label) -> Verdict:
        return self._kept.label(label)

    async def export(self) -> dict[str, Any]:
        return self._kept.book.as_dict()

    async def claim(self, name: Name, fingerprint: bytes, owner: str, waits: bool) -> Found:
        return self._claims.claim(name, fingerprint, owner, waits)

    async def renew(self, owner: str, held: Mapping[Name, bytes]) -> list[Name]:
        return self._claims.renew(owner, held)

    async def finish(self, name: Name, owner: str, reply: Reply) -> None:
        self._claims.finish(name, owner, reply)

    async def release(self, name: Name, owner: str) -> None:
        self._claims.release(name, owner)

    def __del__(self) -> None:
        self._kept.close()


class RemoteBook:
    """The Bookkeeper seen from a gateway, which shares its quarantine with the others there."""

    def __init__(self, handle: "DeploymentHandle[Bookkeeper]", quarantine: Quarantine) -> None:
        self._handle, self._quarantine = handle, quarantine

    async def exchange(self, report: Report, life: str, version: int) -> Edition:
        held = self._quarantine.held()
        with _away_as_connection_error():
            edition: Edition
            edition, held = await self._handle.exchange.remote(report, life, version, held)
        self._quarantine.hold(held)
        return edition

    async def label(self, label: Label) -> Verdict:
        with _away_as_connection_error():
            verdict: Verdict = await self._handle.label.remote(label)
        return verdict

    async def export(self) -> dict[str, Any]:
        book: dict[str, Any] = await self._handle.export.remote()
        return book


class RemoteClaims:
    """The Bookkeeper's claims seen from a gateway: a `FarClaims`."""

    def __init__(self, handle: "DeploymentHandle[Bookkeeper]") -> None:
        self._handle = handle

    async def claim(self, name: Name, fingerprint: bytes, owner: str, waits: bool = False) -> Found:
        found: Found = await self._ask("claim", name, fingerprint, owner, waits)
        return found

    async def renew(self, owner: str, held: Mapping[Name, bytes]) -> list[Name]:
        wanted: list[Name] = await self._ask("renew", owner, held)
        return wanted

    async def finish(self, name: Name, owner: str, reply: Reply) -> None:
        await self._ask("finish", name, owner, reply)

    async def release(self, name: Name, owner: str) -> None:
        await self._ask("release", name, owner)

    async def _ask(self, method: str, *told: Any) -> Any:
        with _away_as_connection_error():
            async with asyncio.timeout(CLAIM_SECONDS):
                return await getattr(self._handle, method).remote(*told)


@contextmanager
def _away_as_connection_error() -> Iterator[None]:
    try:
        yield
    except (*UNREACHABLE, TimeoutError) as error:
        raise ConnectionError(f"the bookkeeper is away: {type(error).__name__}") from error


async def keep_exchanging(copy: BookCopy) -> None:
    while True:
        await asyncio.sleep(EXCHANGE_SECONDS)
        try:
            await copy.exchange()
        except ConnectionError as error:
            log.warning("%s", error)
