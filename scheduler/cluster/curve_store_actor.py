"""The curve store and the claims behind Ray Serve, one for all gateways. Imports ray.

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

from scheduler.api.middleware.claims import ClaimResult, Claims, IdempotencyName, StoredResponse
from scheduler.cluster.unreachable import UNREACHABLE
from scheduler.curves.cache import CurveCache
from scheduler.curves.feedback import Feedback, FeedbackConfig, FeedbackResult, Label
from scheduler.curves.store import CurveUpdate, Report
from scheduler.curves.wal import DurableCurveStore
from scheduler.engines.quarantine import Quarantine

log = logging.getLogger("thinkbudget")

EXCHANGE_SECONDS = 0.25
LOCK_SECONDS = 10.0
# Serve lets a call wait for a replica that is being replaced; a request does not wait so long.
CLAIM_SECONDS = 3.0


class CurveStoreActor:
    """The one writer of the curves; keeps them in a file when it is given one."""

    def __init__(
        self,
        path: str | None,
        round_tokens: float = 0.0,
        feedback: FeedbackConfig | None = None,
    ) -> None:
        self._kept = DurableCurveStore(
            Path(path) if path else None,
            wait_seconds=LOCK_SECONDS,
            round_tokens=round_tokens,
            feedback=Feedback(feedback),
        )
        self._claims = Claims()
        self._quarantine = Quarantine()

    async def exchange(
        self, report: Report, life: str, version: int, held: Mapping[str, float]
    ) -> tuple[CurveUpdate, dict[str, float]]:
        """Of curves, and of what each gateway has put away: all come to know of all."""
        self._quarantine.hold(held)
        return self._kept.exchange(report, life, version), self._quarantine.held()

    async def label(self, label: Label) -> FeedbackResult:
        return self._kept.label(label)

    async def export(self) -> dict[str, Any]:
        return self._kept.book.as_dict()

    async def claim(
        self, name: IdempotencyName, fingerprint: bytes, owner: str, waits: bool
    ) -> ClaimResult:
        return self._claims.claim(name, fingerprint, owner, waits)

    async def renew(
        self, owner: str, held: Mapping[IdempotencyName, bytes]
    ) -> list[IdempotencyName]:
        return self._claims.renew(owner, held)

    async def finish(self, name: IdempotencyName, owner: str, reply: StoredResponse) -> None:
        self._claims.finish(name, owner, reply)

    async def release(self, name: IdempotencyName, owner: str) -> None:
        self._claims.release(name, owner)

    def __del__(self) -> None:
        self._kept.close()


class RemoteCurveStore:
    """The CurveStoreActor seen from a gateway, which shares its quarantine with the others
    there.
    """

    def __init__(self, handle: "DeploymentHandle[CurveStoreActor]", quarantine: Quarantine) -> None:
        self._handle, self._quarantine = handle, quarantine

    async def exchange(self, report: Report, life: str, version: int) -> CurveUpdate:
        held = self._quarantine.held()
        with _away_as_connection_error():
            edition: CurveUpdate
            edition, held = await self._handle.exchange.remote(report, life, version, held)
        self._quarantine.hold(held)
        return edition

    async def label(self, label: Label) -> FeedbackResult:
        with _away_as_connection_error():
            verdict: FeedbackResult = await self._handle.label.remote(label)
        return verdict

    async def export(self) -> dict[str, Any]:
        book: dict[str, Any] = await self._handle.export.remote()
        return book


class RemoteClaims:
    """The CurveStoreActor's claims seen from a gateway: a `SharedClaims`."""

    def __init__(self, handle: "DeploymentHandle[CurveStoreActor]") -> None:
        self._handle = handle

    async def claim(
        self, name: IdempotencyName, fingerprint: bytes, owner: str, waits: bool = False
    ) -> ClaimResult:
        found: ClaimResult = await self._ask("claim", name, fingerprint, owner, waits)
        return found

    async def renew(
        self, owner: str, held: Mapping[IdempotencyName, bytes]
    ) -> list[IdempotencyName]:
        wanted: list[IdempotencyName] = await self._ask("renew", owner, held)
        return wanted

    async def finish(self, name: IdempotencyName, owner: str, reply: StoredResponse) -> None:
        await self._ask("finish", name, owner, reply)

    async def release(self, name: IdempotencyName, owner: str) -> None:
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


async def keep_exchanging(copy: CurveCache) -> None:
    while True:
        await asyncio.sleep(EXCHANGE_SECONDS)
        try:
            await copy.exchange()
        except ConnectionError as error:
            log.warning("%s", error)
