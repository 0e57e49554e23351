"""Outcomes a second into the store, on SQLite and on PostgreSQL, side by side in one run.

python -m benchmarks.store [--quick]

The lines are those of the outcome log: a priced query of six chains and two decisions, about 2 kB.
They go in as a server's writer sends them, a thousand at a time, and each is parsed, kept once and
counted in the sums of its day. The first row is the request path's own part: a line into the
spool. The goals are rates of wall time; what a core could do is shown beside them, since on a
machine that does other work the wall shows that work.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import psutil

from benchmarks.goals import GoalResult, at_least, at_most, not_measured, report
from benchmarks.serving.postgres import missing, postgres
from scheduler.progress import progress
from scheduler.store.outcome_store import OutcomeStore
from scheduler.store.spool import Spool
from scheduler.store.writer import BATCH_LINES

GOAL: Final = 10_000.0
SPOOL_MICROSECONDS: Final = 100.0


class Rate(NamedTuple):
    """Lines and seconds of the wall and of this process, and of the database's processes."""

    name: str
    lines: int
    wall: float
    cpu: float
    server_cpu: float = 0.0

    @property
    def a_second(self) -> float:
        return self.lines / self.wall

    def row(self) -> str:
        used = self.cpu + self.server_cpu
        return (
            f"{self.name:<22} {self.a_second:9.0f} a second of the wall, "
            f"{self.lines / used:9.0f} a CPU-second ({self.cpu / self.lines * 1e6:.0f} µs here, "
            f"{self.server_cpu / self.lines * 1e6:.0f} µs in the database)"
        )


def make_line(number: int) -> bytes:
    """An outcome; classes and plans as many as a server has."""
    sample = {
        "temperature": 0.7, "extensions": 0, "answer": "42", "stop_cause": "natural",
        "thinking_tokens": 180, "answer_tokens": 12, "tokens": 192, "chain_tokens": 192,
        "seconds": 1.25, "replica": "engine#1", "confidence": None, "probes": None,
        "probe_tokens": 0, "violations": [],
    }  # fmt: skip
    outcome: dict[str, Any] = {
        "id": f"{number:032x}",
        "at": time.time(),
        "tenant": "key",
        "question": None,
        "class": f"class {number % 50}",
        "reference": None,
        "model": "s1-pocket",
        "policy": "priced",
        "plan": {"name": ("votes", "cap", "extensions")[number % 3], "is_exploration": False},
        "stop_reason": "settled",
        "answer": "#1",
        "correct": (None, True, False)[number % 3],
        "agreement": 0.83,
        "chance": 0.71,
        "tokens": {"reasoning": 1080, "answer": 72, "forced": 0, "probe": 0, "discarded": 0,
                   "total": 1152},
        "seconds": 2.5,
        "price": 0.0003,
        "considered": {
            "load": 0.4,
            "queries": 1200.0,
            "labelled": 300.0,
            "steps": [
                {"kind": "draw", "chains": [0, 1, 2, 3], "votes": 0, "tokens": 0,
                 "budget": {"max_thinking_tokens": 1024}},
                {"kind": "draw", "chains": [4, 5], "votes": 4, "tokens": 768, "budget": None},
            ],
        },
        "samples": [sample | {"chain": chain} for chain in range(6)],
    }  # fmt: skip
    return json.dumps(outcome).encode() + b"\n"


def batches(count: int) -> Iterator[list[bytes]]:
    for first in range(0, count, BATCH_LINES):
        yield [make_line(number) for number in range(first, min(count, first + BATCH_LINES))]


def measure(
    name: str,
    count: int,
    take: Callable[[list[bytes]], object],
    server: int | None = None,
    parts: Iterable[list[bytes]] | None = None,
) -> Rate:
    """Time what takes lines, without the time to make them. `parts` are other batches of them."""
    wall = cpu = 0.0
    before = _cpu_of(server)
    with progress(name, count // BATCH_LINES) as bar:
        for lines in batches(count) if parts is None else parts:
            began, used = time.perf_counter(), time.process_time()
            take(lines)
            wall += time.perf_counter() - began
            cpu += time.process_time() - used
            bar.advance(f"{count / max(1e-9, wall):.0f}/s")
    return Rate(name, count, wall, cpu, _cpu_of(server) - before)


def _cpu_of(server: int | None) -> float:
    """CPU seconds of a server's processes."""
    if server is None:
        return 0.0
    parent = psutil.Process(server)
    return sum(sum(each.cpu_times()[:2]) for each in (parent, *parent.children(recursive=True)))


def into_spool(folder: Path, count: int) -> Rate:
    spool = Spool(folder, mib=4096)

    def take(lines: list[bytes]) -> None:
        for line in lines:
            spool.append(line)

    return measure("spool", count, take)


def into_store(name: str, url: str, count: int, server: int | None = None) -> Rate:
    with OutcomeStore(url) as store:
        store.write([make_line(-1)])  # what is made once: connections, compiled statements
        return measure(name, count, store.write, server)


@click.command()
@click.option("--quick", is_flag=True, help="Fewer outcomes.")
def main(quick: bool) -> None:
    """Measure the spool, SQLite and PostgreSQL, and report the goals."""
    count = 5_000 if quick else 200_000
    goals: dict[str, GoalResult] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rates = [into_spool(folder / "spool", count)]
        goals["spool, microseconds of an outcome"] = at_most(
            rates[0].wall / count * 1e6, SPOOL_MICROSECONDS
        )
        rates.append(into_store("sqlite", f"sqlite:///{folder}/store.db", count))
        goals["sqlite, outcomes a second"] = at_least(rates[-1].a_second, GOAL)
        if (why := missing()) is None:
            server = stack.enter_context(postgres(durable=True))
            rates.append(into_store("postgresql", server.create("store"), count, server.pid))
            goals["postgresql, outcomes a second"] = at_least(rates[-1].a_second, GOAL)
        else:
            goals["postgresql, outcomes a second"] = not_measured(GOAL, why)
    print(f"{count} outcomes of {len(make_line(0))} bytes, {os.cpu_count()} cores")
    for rate in rates:
        print(rate.row())
    report(goals)


if __name__ == "__main__":
    main()
