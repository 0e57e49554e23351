"""The curve store and the caches of 50 gateways, for some seconds of simulated time.

The store runs on a core of its own whose clock is its CPU time (`Core`); reports and updates are
pickled as between processes. A gateway's report holds what came since the last one, so a store that
is late gets larger reports, as in a fleet.
"""

import heapq
import math
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from benchmarks.decisions import history
from benchmarks.fleet.scale import CLASSES, GATEWAYS, Core
from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import fit
from policies.curves.observation import Observation
from policies.plan import Budget, Plan
from scheduler.curves.cache import EXCHANGE_SECONDS, CurveCache
from scheduler.curves.class_entry import ClassEntry
from scheduler.curves.exchange import PackedUpdate, Report
from scheduler.curves.feedback import FeedbackResult, Label
from scheduler.curves.pace import Pace
from scheduler.curves.records import ObservationRecord
from scheduler.curves.store import CurveStore
from scheduler.curves.wal import DurableCurveStore
from scheduler.progress import Progress

BUDGET, PLAN, PRICE = Budget(1000), Plan("votes", Budget(1000)), 1e-4
POOL = 4000
WARM = 200


class ExchangeLoad(NamedTuple):
    """What the store did in a window. `core` is the share of its core, `late` how many seconds the
    last exchange waited, `fits` are a second; `waiting` observations are still with gateways.
    """

    rate: float
    seconds: float
    core: float
    late: float
    fits: float
    megabytes: float
    counted: int
    sent: int
    waiting: int
    dropped: int
    curves: int

    @property
    def lost(self) -> int:
        return self.dropped + self.sent - self.waiting - self.counted

    @property
    def holds(self) -> bool:
        """Whether it keeps up: nothing is lost, and the last exchange came in time."""
        return self.lost == 0 and self.late < EXCHANGE_SECONDS

    def row(self) -> str:
        return (
            f"{self.rate:6.0f} observations/s: {self.core:5.1%} of its core, {self.fits:5.1f} "
            f"fits/s, {self.megabytes:5.1f} MB/s of curves, last exchange {self.late:.2f} s late, "
            f"{self.counted} counted of {self.sent}, {self.lost} lost, {self.curves} curves"
        )


class _Remote:
    """The store behind a network without delay, on a core of its own."""

    def __init__(self, store: DurableCurveStore, core: Core) -> None:
        self.store, self.core = store, core
        self.at, self.bytes = 0.0, 0

    async def exchange(self, report: Report, epoch: str, version: int) -> PackedUpdate:
        sent = pickle.dumps(report)
        with self.core.working(self.at):
            update = self.store.exchange(pickle.loads(sent), epoch, version)
            reply = pickle.dumps(update)
        self.bytes += len(reply)
        return update

    async def label(self, label: Label) -> FeedbackResult:
        return await self.store.label(label)

    async def export(self) -> dict[str, Any]:
        return await self.store.export()


def records(rng: Random, count: int = POOL) -> list[ObservationRecord]:
    """Queries of four votes, a tenth of them labelled, of any class."""
    found = []
    for _ in range(count):
        right = {"r": True, "a": False} if rng.random() < 0.1 else {}
        name = f"class {rng.randrange(CLASSES)}"
        seen = Observation(name, history(rng, 4), BUDGET, None, PLAN, right, chance=0.8)
        found.append(ObservationRecord("model", seen, PRICE))
    return found


def _learn(store: CurveStore, queries: int, rng: Random) -> None:
    """All classes get so many queries each and the same curve; each is somewhere between two fits,
    which come after a tenth more.
    """
    one = ClassStatistics()
    for record in records(rng, WARM):
        one.observe(record.observation)
    while one.queries < queries:
        half = ClassStatistics()
        half.merge(one)
        one.merge(half)
    one.scale(queries / one.queries)
    curve = fit(one, parent=one, price=PRICE)
    for number in range(CLASSES):
        statistics = ClassStatistics()
        statistics.merge(one)
        entry = ClassEntry(statistics, math.log(PRICE), curve=curve)
        entry.unfitted = rng.randrange(max(1, queries // 10))
        store.entries["model", f"class {number}"] = entry


@contextmanager
def shared(queries: int, *, paced: bool, core: Core) -> Iterator[DurableCurveStore]:
    """A store with its files and so many queries a class. Unpaced, it fits where it counts."""
    with (
        tempfile.TemporaryDirectory() as folder,
        DurableCurveStore(
            Path(folder) / "curves.json",
            pace=Pace(clock=core.now) if paced else None,
            clock=core.now,
        ) as store,
    ):
        if queries:
            _learn(store.store, queries, Random(1))
        yield store


async def exchanges(
    store: DurableCurveStore, core: Core, rate: float, seconds: float, bar: Progress
) -> ExchangeLoad:
    """`rate` observations a second, spread over the gateways, until so many seconds are over."""
    remote, pool = _Remote(store, core), records(Random(2))
    caches = [CurveCache(remote) for _ in range(GATEWAYS)]
    before = store.store._observed
    core.free = core.busy = 0.0
    remote.bytes, busy, sent, late, told = 0, 0.0, 0, 0.0, 0
    turns = [(EXCHANGE_SECONDS * number / GATEWAYS, number, 0.0) for number in range(GATEWAYS)]
    fitted = store.store._version
    while turns[0][0] < seconds:
        at, number, last = heapq.heappop(turns)
        due = round(at * rate / GATEWAYS) - round(last * rate / GATEWAYS)
        for _ in range(due):
            caches[number].observe(pool[sent % POOL])
            sent += 1
        remote.at = at
        await caches[number].exchange()
        late = core.free - at
        heapq.heappush(turns, (max(at, core.free) + EXCHANGE_SECONDS, number, at))
        if int(at) > told:
            told = int(at)
            bar.advance(f"{rate:.0f}/s, {late:.2f} s late")
    busy = core.busy
    waiting = sum(cache.waiting for cache in caches)
    elapsed = max(seconds, core.free)
    return ExchangeLoad(
        rate, seconds, busy / elapsed, late, (store.store._version - fitted) / elapsed,
        remote.bytes / 1e6 / elapsed, store.store._observed - before, sent, waiting,
        sum(cache.dropped for cache in caches), max(cache.count for cache in caches),
    )  # fmt: skip
