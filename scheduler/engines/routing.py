"""Where a call goes: by the tokens that each replica still owes, not by how many calls it has.

Plain bookkeeping without Ray: `RoutingTable` in every gateway, `Backlog` in every replica.
"""

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from workers.completion import CompletionRequest
from workers.engine import SampleRequest

FEW: Final = 32
"""Of more replicas than so many, some are drawn, and these compared."""
DRAWN: Final = 4


class PendingWork(NamedTuple):
    """Work to be done: tokens that are expected of chains, and the chains."""

    tokens: int = 0
    chains: int = 0

    def plus(self, other: "PendingWork") -> "PendingWork":
        return PendingWork(self.tokens + other.tokens, self.chains + other.chains)

    def minus(self, other: "PendingWork") -> "PendingWork":
        return PendingWork(max(0, self.tokens - other.tokens), max(0, self.chains - other.chains))


class TargetReplica(NamedTuple):
    """The one replica that is meant. Without it a call waits, or `or_any` goes to any other."""

    replica: str
    or_any: bool = False


class RoutingConstraints(NamedTuple):
    """What a call asks of its replica.

    `affinity` is where this query's earlier chains ran, and their prefix is cached (None: it has
    none). `avoid` are replicas to be left out while there are others. `only` is the one replica
    that may be chosen (None: any); with `or_any`, the others may where it is not there.
    """

    owed: PendingWork = PendingWork()
    affinity: str | None = None
    avoid: Collection[str] = ()
    only: str | None = None
    or_any: bool = False


@dataclass(slots=True)
class _Call:
    replica: str
    #: What it was expected to cost when it was sent.
    owed: PendingWork
    #: When it was sent, in seconds of the table's clock.
    since: float
    #: Whether the replica has taken it.
    taken: bool = False


@dataclass(slots=True)
class RoutingTable:
    """What one gateway knows of the replicas: its own calls at once, the others' from reports.

    A replica reports all that it owes, this gateway's calls included, about once a second. Were
    reports alone to count, all calls between two reports would go to one replica; were own calls
    added to a report, they would count twice. So a report is split when it comes: what it has above
    this gateway's own calls belongs to other gateways, and stays until the next report. From then
    on `owed` is own + others: it changes at once when a call of this gateway is sent or ends, and
    is wrong about other gateways by no more than they do in one period of reports.

    The split is exact when the report counts what `own` counts. It differs by calls that are on
    their way, and by chains that have ended in a call that still runs. Then `others` is too small,
    never below nothing, and the next report corrects it: errors do not add up.

    Of many replicas only a few random ones are compared. Two suffice for a balanced load (the power
    of two choices: Mitzenmacher, IEEE TPDS 12(10), 2001); and where all gateways see the same
    reports, the one replica that owes the fewest tokens would get the calls of all of them.
    """

    #: How many chains one replica runs at once.
    slots: int
    #: A replica that has not taken a call for so many seconds is the last choice: it may hang, long
    #: before its health check says so.
    suspect_seconds: float = 2.0
    #: Seconds from any beginning.
    clock: Callable[[], float] = time.monotonic
    #: Breaks ties.
    rng: random.Random = field(default_factory=random.Random)
    #: This gateway's calls that are sent and not over, by their ids.
    _calls: dict[str, _Call] = field(default_factory=dict)
    #: By replica: the sum of what this gateway's calls there owe. `send` adds to it, `end` takes
    #: away.
    _own: dict[str, PendingWork] = field(default_factory=dict)
    #: By replica: the last report, less what this gateway's calls owed when it came.
    _others: dict[str, PendingWork] = field(default_factory=dict)
    #: By replica: the version of the last report. Serve delivers the same report again.
    _versions: dict[str, int] = field(default_factory=dict)

    def rank(self, replicas: Sequence[str], constraints: RoutingConstraints) -> list[str]:
        """Those that may be tried, best first: all of a few replicas, some of many.

        Suspects come last, the replica of the affinity first while the call fits there; then counts
        who owes the fewest tokens.
        """
        if constraints.only is not None:
            meant = [name for name in replicas if name == constraints.only]
            if meant or not constraints.or_any:
                return meant
        left = self._drawn(replicas, constraints)
        suspects = self.suspects()

        def cost(name: str) -> tuple[bool, bool, int]:
            owed = self.owed(name)
            has_affinity = (
                name == constraints.affinity and owed.chains + constraints.owed.chains <= self.slots
            )
            return name in suspects, not has_affinity, owed.tokens

        return sorted(left, key=cost)

    def _drawn(self, replicas: Sequence[str], constraints: RoutingConstraints) -> list[str]:
        """In random order, without those to be avoided unless there are no others."""
        avoid, affinity = constraints.avoid, constraints.affinity
        if len(replicas) > FEW:
            drawn = self.rng.sample(replicas, DRAWN + len(avoid))
            left = [name for name in drawn if name not in avoid][:DRAWN]
            if affinity and affinity in replicas and affinity not in (*left, *avoid):
                left.append(affinity)
            if left:
                return left
        left = [name for name in replicas if name not in avoid] or list(replicas)
        self.rng.shuffle(left)
        return left

    def owed(self, replica: str) -> PendingWork:
        return self._own.get(replica, PendingWork()).plus(self._others.get(replica, PendingWork()))

    def suspects(self) -> set[str]:
        late = self.clock() - self.suspect_seconds
        calls = self._calls.values()
        return {call.replica for call in calls if not call.taken and call.since < late}

    def send(self, call: str, replica: str, owed: PendingWork) -> None:
        """The call goes to this replica. Of a call that was sent before, only this counts."""
        self.end(call)
        self._own[replica] = self._own.get(replica, PendingWork()).plus(owed)
        self._calls[call] = _Call(replica, owed, self.clock())

    def take(self, call: str) -> None:
        """The replica has taken the call."""
        if call in self._calls:
            self._calls[call].taken = True

    def end(self, call: str) -> None:
        """The call is over, however it ended."""
        if ended := self._calls.pop(call, None):
            self._own[ended.replica] = self._own.get(ended.replica, PendingWork()).minus(ended.owed)

    def report(self, replica: str, owed: PendingWork, version: int) -> None:
        """All that a replica owes, to all gateways. A `version` that is known changes nothing."""
        if self._versions.get(replica) != version:
            self._versions[replica] = version
            self._others[replica] = owed.minus(self._own.get(replica, PendingWork()))

    def keep(self, replicas: Collection[str]) -> None:
        """Forget the replicas that are there no more."""
        self._own = {
            name: owed for name, owed in self._own.items() if name in replicas or any(owed)
        }
        self._others = {name: owed for name, owed in self._others.items() if name in replicas}
        self._versions = {
            name: version for name, version in self._versions.items() if name in replicas
        }


@dataclass(slots=True)
class Backlog:
    """What one replica owes; `version` counts the changes."""

    owed: PendingWork = PendingWork()
    version: int = 0

    @contextmanager
    def owing(self, request: SampleRequest | CompletionRequest) -> Iterator[Callable[[], None]]:
        """While the call runs; what is yielded is to be called for each chain that ends."""
        left = expected(request)
        self._set(self.owed.plus(left))

        def ended() -> None:
            nonlocal left
            if left.chains:
                each = PendingWork(left.tokens // left.chains, 1)
                left = left.minus(each)
                self._set(self.owed.minus(each))

        try:
            yield ended
        finally:
            self._set(self.owed.minus(left))

    def _set(self, owed: PendingWork) -> None:
        self.owed, self.version = owed, self.version + 1


def expected(request: SampleRequest | CompletionRequest) -> PendingWork:
    """What a request is expected to cost; all that it may, if nobody has a forecast."""
    if isinstance(request, CompletionRequest):
        return PendingWork(request.max_tokens, 1)
    chains, budget = len(request.chains), request.budget
    worst = chains * (budget.max_thinking_tokens + budget.answer_tokens)
    return PendingWork(request.expected_tokens or worst, chains)
