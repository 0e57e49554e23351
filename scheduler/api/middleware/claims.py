"""Who runs a request that was sent with an idempotency key, and the replies of those that ended.

An owner holds a claim for as long as it renews it. One that dies lets it lapse, and the next who
asks runs the request. What is kept of a tenant is bounded in number, in bytes and in time.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from scheduler.solving.trace import Trace

LEASE_SECONDS: Final = 15.0
KEPT_SECONDS: Final = 3600.0
MAX_KEPT: Final = 1000
MAX_KEPT_BYTES: Final = 64 << 20
"""Of one tenant."""


class IdempotencyName(NamedTuple):
    """Keys of one tenant are independent of another's."""

    tenant: str
    path: str
    key: str


class StoredResponse(NamedTuple):
    """A whole reply without an error, and its trace. `fingerprint` is the hash of the request."""

    fingerprint: bytes
    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    trace: Trace


class ClaimResult(NamedTuple):
    """What became of a claim; `reply` comes with "finished"."""

    state: Literal["yours", "running", "finished", "other_body"]
    reply: StoredResponse | None = None


class SharedClaims(Protocol):
    """The claims of all, in another process. Raises ConnectionError when it cannot be reached."""

    async def claim(
        self, name: IdempotencyName, fingerprint: bytes, owner: str, waits: bool = False
    ) -> ClaimResult: ...

    async def renew(
        self, owner: str, held: Mapping[IdempotencyName, bytes]
    ) -> list[IdempotencyName]: ...

    async def finish(self, name: IdempotencyName, owner: str, reply: StoredResponse) -> None: ...

    async def release(self, name: IdempotencyName, owner: str) -> None: ...


class ResponseCache:
    """Finished replies of late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, OrderedDict[IdempotencyName, tuple[float, StoredResponse]]] = {}

    def find(self, name: IdempotencyName) -> StoredResponse | None:
        kept = self._kept.get(name.tenant, OrderedDict())
        old = self._clock() - KEPT_SECONDS
        while kept and next(iter(kept.values()))[0] <= old:
            kept.popitem(last=False)
        return kept[name][1] if name in kept else None

    def keep(self, name: IdempotencyName, reply: StoredResponse) -> None:
        kept = self._kept.setdefault(name.tenant, OrderedDict())
        kept.pop(name, None)
        kept[name] = self._clock(), reply
        size = sum(len(one.body) for _, one in kept.values())
        while len(kept) > MAX_KEPT or size > MAX_KEPT_BYTES:
            _, (_, dropped) = kept.popitem(last=False)
            size -= len(dropped.body)


@dataclass(slots=True)
class _Lease:
    owner: str
    fingerprint: bytes
    until: float
    is_wanted: bool = False


class Claims:
    """One for all owners; the first who claims a key runs it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._replies = ResponseCache(clock)
        self._leases: dict[IdempotencyName, _Lease] = {}

    def claim(
        self, name: IdempotencyName, fingerprint: bytes, owner: str, waits: bool = False
    ) -> ClaimResult:
        """`waits`: the caller has seen it run elsewhere. Claims that started less than a lease ago
        accept that, as its owner may not have renewed it with them yet.
        """
        reply, lease = self._replies.find(name), self._held_by_other(name, owner)
        if (known := reply or lease) is None:
            if waits and self._clock() - self._began < LEASE_SECONDS:
                return ClaimResult("running")
            self._leases[name] = _Lease(owner, fingerprint, self._clock() + LEASE_SECONDS)
            return ClaimResult("yours")
        if known.fingerprint != fingerprint:
            return ClaimResult("other_body")
        if lease is not None:
            lease.is_wanted = True
        return ClaimResult("finished", reply) if reply else ClaimResult("running")

    def renew(self, owner: str, held: Mapping[IdempotencyName, bytes]) -> list[IdempotencyName]:
        """Those that others have asked for since. What is not known is held from now on: these
        claims may be younger than what they are of.
        """
        now, wanted = self._clock(), []
        self._leases = {name: one for name, one in self._leases.items() if one.until > now}
        for name, fingerprint in held.items():
            lease = self._leases.setdefault(name, _Lease(owner, fingerprint, now))
            if lease.owner == owner:
                lease.until = now + LEASE_SECONDS
                if lease.is_wanted:
                    wanted.append(name)
                lease.is_wanted = False
        return wanted

    def finish(self, name: IdempotencyName, owner: str, reply: StoredResponse) -> None:
        """The first reply is everybody's: what comes from an owner that lost its claim is not."""
        if self._held_by_other(name, owner) is None and self._replies.find(name) is None:
            self._replies.keep(name, reply)
        self.release(name, owner)

    def release(self, name: IdempotencyName, owner: str) -> None:
        """Nobody runs it any more, and whoever claims it next does."""
        lease = self._leases.get(name)
        if lease is not None and lease.owner == owner:
            del self._leases[name]

    def _held_by_other(self, name: IdempotencyName, owner: str) -> _Lease | None:
        lease = self._leases.get(name)
        is_held = lease is not None and lease.owner != owner and lease.until > self._clock()
        return lease if is_held else None
