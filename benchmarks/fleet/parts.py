"""Routing, quotas and the outcome store at the sizes of the fleet: CPU time of an operation."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import process_time
from typing import NamedTuple

from benchmarks.fleet.scale import CLASSES, GATEWAYS, REQUESTS, seconds_each
from benchmarks.store import Rate, make_line, measure
from scheduler.admission.access import Caller
from scheduler.admission.admission import Admission
from scheduler.admission.limits import KeyLimits, LimitsConfig
from scheduler.engines.routing import PendingWork, RoutingConstraints, RoutingTable
from scheduler.errors import RateLimited
from scheduler.store.outcome_store import OutcomeStore
from workers.simulated.clock import run_virtual

KEYS = 1000
IN_FLIGHT = 200
"""Calls of one gateway."""


def table(engines: int) -> tuple[RoutingTable, list[str]]:
    rng = Random(3)
    names = [f"replica#{number:06d}" for number in range(engines)]
    routes = RoutingTable(64, rng=rng)
    for name in names:
        routes.report(name, PendingWork(rng.randrange(4000), 5), 1)
    for number in range(IN_FLIGHT):
        routes.send(f"under way {number}", rng.choice(names), PendingWork(500, 4))
        routes.take(f"under way {number}")
    return routes, names


def routing(engines: int) -> float:
    """Seconds of a call: where it goes, that it is sent, taken and over."""
    routes, names = table(engines)
    numbers, owed = itertools.count(), PendingWork(500, 4)

    def call() -> None:
        name = str(next(numbers))
        ranked = routes.rank(names, RoutingConstraints(owed))
        routes.send(name, ranked[0], owed)
        routes.take(name)
        routes.end(name)

    return seconds_each(call, 2000)


def reports(engines: int) -> float:
    """Seconds of one round of reports of all engines, in one gateway."""
    routes, names = table(engines)
    versions = itertools.count(2)

    def report() -> None:
        version = next(versions)
        routes.keep(set(names))
        for name in names:
            routes.report(name, PendingWork(version % 4000, 5), version)

    return seconds_each(report, 20)


def quotas() -> float:
    """Seconds of one admission and its settlement, of one of 1,000 keys with all limits."""
    limits = KeyLimits(10**6, 10**10, 10**12, 10**9)
    callers = [Caller(f"key {number}", "inference", limits) for number in range(KEYS)]

    async def main() -> float:
        admission, count = Admission(LimitsConfig(), slots=1280, gateways=GATEWAYS), 10_000
        best = float("inf")
        for _ in range(5):
            began = process_time()
            for number in range(count // 5):
                async with admission.admitted(callers[number % KEYS], worst=4000) as ticket:
                    ticket.spent = 500
            best = min(best, (process_time() - began) / (count // 5))
        return best

    return run_virtual(main())


class Granted(NamedTuple):
    """Of what one key may have by its limit, asked for at random gateways."""

    limit: int
    granted: int
    minutes: int

    @property
    def share(self) -> float:
        return self.granted / (self.limit * self.minutes)


def granted(limit: int, minutes: int = 3) -> Granted:
    """A key that asks for just its limit of requests a minute, each at a random gateway."""
    caller = Caller("key", "inference", KeyLimits(requests_per_minute=limit))
    rng, taken = Random(4), 0

    async def main() -> None:
        nonlocal taken
        gateways = [Admission(LimitsConfig(), gateways=GATEWAYS) for _ in range(GATEWAYS)]
        for _ in range(limit * minutes):
            await asyncio.sleep(rng.expovariate(limit / 60))
            try:
                async with rng.choice(gateways).admitted(caller, worst=1):
                    taken += 1
            except RateLimited:
                continue

    run_virtual(main())
    return Granted(limit, taken, minutes)


def outcome_lines(count: int, each: int) -> Iterator[list[bytes]]:
    """Outcomes of 1,000 classes, so many in a batch."""
    rng = Random(5)
    lines = []
    for number in range(count):
        line = json.loads(make_line(number)) | {"class": f"class {rng.randrange(CLASSES)}"}
        lines.append(json.dumps(line).encode() + b"\n")
    for first in range(0, count, each):
        yield lines[first : first + each]


def into_store(name: str, url: str, count: int, each: int, server: int | None = None) -> Rate:
    """`each` is a batch: what one gateway has after a quarter of a second, or after a wait."""
    with OutcomeStore(url) as store:
        store.write([make_line(-1)])
        return measure(name, count, store.write, server, outcome_lines(count, each))


def batch_of_a_gateway() -> int:
    from scheduler.store.writer import FLUSH_SECONDS

    return round(REQUESTS / GATEWAYS * FLUSH_SECONDS)


def sqlite(folder: Path, count: int, each: int) -> Rate:
    name = f"sqlite, {each} a batch"
    return into_store(name, f"sqlite:///{folder}/{each}.db", count, each)
