"""Mixed load for as long as you like, while engines are killed at random.

python -m benchmarks.soak [--minutes 60] [--kill-every 120] [--quick]
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from typing import Any

import click
import numpy as np
import psutil

from benchmarks import harness
from benchmarks.goals import at_least, at_most, report
from benchmarks.harness import FaultHarness, body, kill
from scheduler.config import EngineConfig, ServeConfig
from scheduler.progress import progress

CLIENTS = 6
WATCHED = (harness.GATEWAY, harness.PROXY, harness.SERVE_CONTROLLER)


class SoakRecord:
    """What became of the requests, and how the long-lived processes grew.

    `observations`: seconds, MB, file descriptors, threads, and tasks of one gateway's loop.
    """

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.kills = 0
        self.observations: list[tuple[float, float, float, float, float]] = []

    async def observe(self, at: FaultHarness, began: float) -> None:
        memory = handles = threads = 0.0
        for process in psutil.Process().children(recursive=True):
            if any(name in harness.title(process) for name in WATCHED):
                memory += process.memory_info().rss / 2**20
                handles += process.num_fds()
                threads += process.num_threads()
        tasks = await at.gauge("thinkbudget_tasks")
        self.observations.append((time.monotonic() - began, memory, handles, threads, tasks))

    def note(self) -> str:
        _, memory, handles, threads, tasks = self.observations[-1]
        return (
            f"{dict(self.ends)}, {self.kills} kills, {memory:.0f} MB, {handles:.0f} files, "
            f"{threads:.0f} threads, {tasks:.0f} tasks"
        )

    def growth(self, column: int) -> float:
        """Least-squares slope an hour of the second half: the first half is warming up."""
        half = np.array(self.observations[len(self.observations) // 2 :])
        half = half[np.isfinite(half[:, column])]
        if len(half) < 3:
            return float("nan")
        return float(np.polyfit(half[:, 0] / 3600, half[:, column], 1)[0])


def mixed(rng: random.Random) -> dict[str, Any]:
    """Forced streams, whole replies, votes, learned plans."""
    number = rng.randrange(80)
    kind = rng.choice(["stream", "stream", "unary", "vote", "priced"])
    if kind == "vote":
        votes = {"policy": "majority", "samples": 4, "max_thinking_tokens": 200}
        return body(number, 200, stream=False, temperature=1.0, thinkbudget=votes)
    request = body(number, rng.choice([50, 200, 500]), stream=kind == "stream")
    if kind == "priced":
        request["thinkbudget"] = {"policy": "priced", "query_class": f"soak {number % 4}"}
    return request


async def client(at: FaultHarness, seed: int, ends: float, record: SoakRecord) -> None:
    """Asks, reads to the end, and asks again; leaves in the middle now and then."""
    rng = random.Random(seed)
    while time.monotonic() < ends:
        request = mixed(rng)
        if rng.random() < 0.05:
            pending = asyncio.create_task(at.ask(request))
            await asyncio.sleep(rng.uniform(0.05, 1.0))
            pending.cancel()
            record.ends["left"] += 1
            continue
        response = await at.ask(request)
        code = (response.error or {}).get("code")
        end = f"{response.status} {code}"
        if response.whole:
            end = "ok"
        elif response.refused:
            end = "refused"
        record.ends["broken" if response.broken else end] += 1
        await asyncio.sleep(rng.uniform(0, 0.5))


async def killer(at: FaultHarness, every: float, ends: float, record: SoakRecord) -> None:
    rng = random.Random(0)
    while time.monotonic() + every < ends:
        await asyncio.sleep(every)
        # One that is still being replaced has no core yet.
        if engines := at.engines():
            kill(rng.choice(rng.choice(engines)))
            record.kills += 1


async def run(config: ServeConfig, minutes: float, kill_every: float, record: SoakRecord) -> None:
    at = FaultHarness(config)
    await at.whole_again()
    began = time.monotonic()
    ends = began + 60 * minutes
    async with asyncio.TaskGroup() as work:
        for seed in range(CLIENTS):
            work.create_task(client(at, seed, ends, record))
        work.create_task(killer(at, kill_every, ends, record))
        with progress("soak, ten-second steps", int(6 * minutes)) as bar:
            while time.monotonic() < ends:
                await asyncio.sleep(10)
                await record.observe(at, began)
                bar.advance(record.note())


@click.command()
@click.option("--minutes", type=float, default=60, show_default=True)
@click.option("--kill-every", type=float, default=120, show_default=True, help="Seconds.")
@click.option("--port", type=int, default=8124, show_default=True)
@click.option("--quick", is_flag=True, help="Two minutes, a kill every 45 s.")
def main(minutes: float, kill_every: float, port: int, quick: bool) -> None:
    minutes, kill_every = (2, 45) if quick else (minutes, kill_every)
    engine = EngineConfig(kv_cache_gib=0.3)
    config = ServeConfig(engine=engine, port=port, replicas=2, gateways=2)
    record = SoakRecord()
    # What was observed until an interrupt is a result too.
    with harness.open_server(config), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(config, minutes, kill_every, record))
    if not record.observations:
        raise click.ClickException("interrupted before the first observation")
    requests = sum(record.ends.values()) - record.ends["left"]
    success = record.ends["ok"] / max(1, requests)
    took = record.observations[-1][0] / 60
    print(f"{took:.0f} of {minutes:.0f} minutes, {record.kills} kills: {dict(record.ends)}")
    for column, name in ((1, "MB"), (2, "file descriptors"), (3, "threads"), (4, "tasks")):
        first, last = record.observations[0][column], record.observations[-1][column]
        print(f"{name}: {first:.0f} -> {last:.0f}, {record.growth(column):+.1f} an hour at the end")
    goals = {
        "success": at_least(success, 0.999),
        "memory, MB an hour": at_most(record.growth(1), 5),
        "file descriptors an hour": at_most(record.growth(2), 5),
        "tasks an hour": at_most(record.growth(4), 5),
    }
    report(goals)


if __name__ == "__main__":
    main()
