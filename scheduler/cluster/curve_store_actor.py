"""The curve store and the claims behind Ray Serve, one for all gateways. Imports ray.

Only requests with an idempotency key wait for it. While it is away, gateways use the curves and
replies that they have, and keep what they have to report.
"""

import asyncio
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ray.serve.handle import DeploymentHandle

from scheduler.api.middleware.claims import Claims
from scheduler.cluster.unreachable import UNREACHABLE
from scheduler.curves.exchange import PackedUpdate, Report
from scheduler.curves.feedback import Feedback, FeedbackConfig
from scheduler.curves.pace import Pace
from scheduler.curves.wal import DurableCurveStore
from scheduler.engines.quarantine import Quarantine
from scheduler.logs import LogLevel, configure

LOCK_SECONDS = 10.0
# Serve lets a call wait for a replica that is being replaced; a request does not wait so long.
CLAIM_SECONDS = 3.0

Part = Literal["curves", "claims"]


class CurveStoreActor:
    """The one writer of the curves; keeps them in files when it is given a path."""

    def __init__(
        self,
        path: str | None,
        round_tokens: float = 0.0,
        feedback: FeedbackConfig | None = None,
        log_level: LogLevel = "warning",
    ) -> None:
        configure(log_level)
        self._curves = DurableCurveStore(
            Path(path) if path else None,
            wait_seconds=LOCK_SECONDS,
            round_tokens=round_tokens,
            feedback=Feedback(feedback),
            pace=Pace(),
        )
        self._parts = {"curves": self._curves, "claims": Claims()}
        self._quarantine = Quarantine()

    async def exchange(
        self, report: Report, epoch: str, version: int, blocked: Mapping[str, float]
    ) -> tuple[PackedUpdate, dict[str, float]]:
        """Exchange curves, and the requests that each gateway has in quarantine."""
        self._quarantine.block(blocked)
        return self._curves.exchange(report, epoch, version), self._quarantine.blocked()

    async def call(self, part: Part, method: str, *args: Any) -> Any:
        """Call a method of one part."""
        result = getattr(self._parts[part], method)(*args)
        return await result if inspect.isawaitable(result) else result

    def __del__(self) -> None:
        self._curves.close()


Handle: TypeAlias = "DeploymentHandle[CurveStoreActor]"


class RemotePart:
    """One part of the actor as a gateway sees it: every method is called in the actor.

    Raises ConnectionError where the actor is away, or takes longer than `seconds`.
    """

    def __init__(self, handle: Handle, part: Part, seconds: float | None = None) -> None:
        self._handle, self._part, self._seconds = handle, part, seconds

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)

        async def call(*args: Any) -> Any:
            response = self._handle.call.remote(self._part, method, *args)
            return await _reached(response, self._seconds)

        return call


class RemoteCurveStore(RemotePart):
    """A `SharedCurveStore`. With the curves, gateways exchange what they have in quarantine."""

    def __init__(self, handle: Handle, quarantine: Quarantine) -> None:
        super().__init__(handle, "curves")
        self._quarantine = quarantine

    async def exchange(self, report: Report, epoch: str, version: int) -> PackedUpdate:
        update: PackedUpdate
        update, blocked = await _reached(
            self._handle.exchange.remote(report, epoch, version, self._quarantine.blocked())
        )
        self._quarantine.block(blocked)
        return update


class RemoteClaims(RemotePart):
    """A `SharedClaims`."""

    def __init__(self, handle: Handle) -> None:
        super().__init__(handle, "claims", CLAIM_SECONDS)


async def _reached(response: Any, seconds: float | None = None) -> Any:
    """The result of a remote call. Raises ConnectionError where the actor is away."""
    try:
        async with asyncio.timeout(seconds):
            return await response
    except (*UNREACHABLE, TimeoutError) as error:
        raise ConnectionError(f"the curve store is away: {type(error).__name__}") from error
