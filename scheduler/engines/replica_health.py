"""What one gateway knows of the replicas' health, and where each query's KV cache is."""

from collections import OrderedDict

# A replica that died, fell silent or left is avoided for so many seconds.
AVOID_SECONDS = 60.0
MAX_AFFINITIES = 4096


class ReplicaHealth:
    """Times are those of the caller's clock, in seconds."""

    def __init__(self) -> None:
        self._unavailable: dict[str, float] = {}
        self._affinity: OrderedDict[str, str] = OrderedDict()

    def affinity(self, query: str) -> str | None:
        """The replica that took this query's last call: its prefix is cached there."""
        return self._affinity.get(query)

    def taken(self, query: str, replica: str) -> None:
        self._affinity[query] = replica
        self._affinity.move_to_end(query)
        if len(self._affinity) > MAX_AFFINITIES:
            self._affinity.popitem(last=False)

    def avoid(self, now: float) -> tuple[str, ...]:
        """The replicas that became unavailable lately."""
        since = now - AVOID_SECONDS
        self._unavailable = {name: at for name, at in self._unavailable.items() if at > since}
        return tuple(self._unavailable)

    def is_available(self, replica: str) -> bool:
        return replica not in self._unavailable

    def unavailable(self, replica: str, now: float) -> bool:
        """Note that it died, hangs or leaves; whether this is news."""
        if replica in self._unavailable:
            return False
        self._unavailable[replica] = now
        return True

    def progressed(self, replica: str, since: float) -> None:
        """It generates for a call that it has taken at `since`.

        What was on its way when the replica became unavailable does not make it available again.
        """
        if since > self._unavailable.get(replica, since):
            del self._unavailable[replica]
