"""Tokens per CPU-second of every way to force a budget, against plain generation and s1's loop.

Everything runs on the embedded model in turn, in random order and with prompts that were never seen
before, so that a change of the machine's speed and what is left in a cache meet all alike. Only
tokens of the reply count: what is generated and thrown away does not. CPU-seconds are of all
processes.

`barrier` is the loop of s1's evaluation code: rounds of calls, each with the whole cap, that wait
for the slowest of a batch of 64 chains, batch after batch; `one batch` is the same with all chains
in a single batch, of which 64 run at once. Then 10,000 chains of random budgets are held against
what they were allowed, the memory of all processes is watched meanwhile, and chains are cancelled
in mid-air.

    python -m benchmarks.forcing [--quick]
"""

import asyncio
import json
import logging
import os
import statistics
import time
from random import Random
from typing import Any

import click

from benchmarks.forcing.ways import (
    DRIVERS,
    Bench,
    Job,
    Speed,
    ask,
    at_once,
    fresh,
    mixed,
    resident_mib,
    small,
)
from benchmarks.goals import at_least, at_most
from policies.plan import Budget
from scheduler.progress import progress
from workers.engine import SampleRequest
from workers.sample import Sample

SHORT, LONG = 60, 900
STANDARD = Budget(96, extensions=3, answer_tokens=16)
GOAL_DRIVER, GOAL_BARRIER, GOAL_MEMORY, GOAL_CANCEL = 0.95, 1.5, 1.05, 0.05
STREAMS = 64


async def speeds(bench: Bench, quick: bool) -> dict[str, dict[str, float]]:
    """Ratios to plain generation, by situation and way; the median over the repeats."""
    rng, repeats = Random(0), 2 if quick else 5
    settings = [
        (f"{name} prompts, {streams} streams", letters, count, streams)
        for name, letters in (("short", SHORT), ("long", LONG))
        for streams, count in ((1, 4), (16, 48), (STREAMS, 128))
        if not quick or (streams, letters) == (STREAMS, SHORT)
    ]
    ways = ["plain", *DRIVERS]
    ratios: dict[str, dict[str, float]] = {}
    await bench.time("session", fresh(rng, SHORT, 64, lambda: STANDARD), STREAMS)  # warm up
    with progress("speeds", (len(settings) * len(ways) + 3) * repeats) as bar:
        for title, letters, count, streams in settings:
            found: dict[str, list[Speed]] = {way: [] for way in ways}
            for _ in range(repeats):
                for way in rng.sample(ways, len(ways)):
                    jobs = fresh(rng, letters, count, lambda: STANDARD)
                    found[way].append(await bench.time(way, jobs, streams))
                    bar.advance(title)
            ratios[title] = table(title, found, "plain")
        found = {"barrier": [], "one batch": [], "session": []}
        for _ in range(repeats):
            for way in rng.sample(sorted(found), 3):
                jobs = fresh(rng, SHORT, 3 * STREAMS, lambda: mixed(rng))
                found[way].append(await bench.time(way, jobs, STREAMS))
                bar.advance("mixed lengths")
        title = f"mixed lengths, {STREAMS} streams"
        ratios[title] = table(title, found, "barrier")
    return ratios


def table(title: str, found: dict[str, list[Speed]], base: str) -> dict[str, float]:
    """Print a table; ratios are of pairs within one repeat, their median and their range."""
    print(f"\n{title}\n  {'':10} {'tokens/CPU-s':>13} {'tokens/s':>9}   ratio to {base}")
    medians = {}
    for way, each in found.items():
        pairs = zip(each, found[base], strict=True)
        ratios = [one.per_cpu_second / other.per_cpu_second for one, other in pairs]
        clock = [
            one.per_second / other.per_second for one, other in zip(each, found[base], strict=True)
        ]
        medians[way] = statistics.median(ratios)
        print(
            f"  {way:10} {statistics.median(s.per_cpu_second for s in each):13,.0f} "
            f"{statistics.median(s.per_second for s in each):9,.0f}   "
            f"{medians[way]:.2f} ({min(ratios):.2f}..{max(ratios):.2f}), "
            f"by the clock {statistics.median(clock):.2f}",
            flush=True,
        )
    return medians


def broken(job: Job, sample: Sample) -> list[str]:
    """What a sample did that it was not allowed, judged without the chain's own judgement."""
    budget, faults = job.budget, list(sample.violations)
    if len(sample.thinking_ids) > budget.max_thinking_tokens:
        faults.append("above the cap")
    if len(sample.thinking_ids) < budget.min_thinking_tokens:
        faults.append("below the minimum")
    if sample.answer_tokens > budget.answer_tokens:
        faults.append("above the answer's reserve")
    if sample.extensions > budget.extensions:
        faults.append("too many extensions")
    uncut = len(sample.thinking_ids) < budget.max_thinking_tokens
    if uncut and sample.extensions != budget.extensions:
        faults.append("too few extensions")
    if sample.stop_cause not in ("natural", "extensions", "max_thinking"):
        faults.append(f"ended by {sample.stop_cause}")
    return faults


async def fidelity(bench: Bench, chains: int) -> tuple[int, float]:
    """Violations over so many chains, half of them by each driver; and how memory grew."""
    rng, faults, done = Random(1), 0, 0
    early = 0.0
    with progress("chains", chains) as bar:
        while done < chains:
            name = DRIVERS[done // 500 % len(DRIVERS)]
            jobs = fresh(rng, SHORT, 500, lambda: small(rng))

            async def one(job: Job, name: str = name) -> int:
                sample = await ask(bench.engines[name], next(bench.names), job)
                found = broken(job, sample)
                if found:
                    print(f"{name}: {job.budget}: {found}")
                bar.advance()
                return len(found)

            faults += await at_once(jobs, STREAMS, one)
            done += len(jobs)
            if not early and done >= chains // 4:
                early = resident_mib()
    return faults, resident_mib() / early


async def cancelling(bench: Bench) -> float:
    """Seconds from a cancel of 15 of 16 chains to the last of their samples; the median."""
    engine, rng, took = bench.engines["session"], Random(2), []
    for turn in range(9):
        text = fresh(rng, SHORT, 1, lambda: STANDARD)[0].text
        budget = Budget(1500, 1500, answer_tokens=16)
        request = SampleRequest(f"cancel-{turn}", (("user", text),), tuple(range(16)), budget)
        ended: list[float] = []

        async def watch(request: SampleRequest = request, ended: list[float] = ended) -> None:
            async for event in engine.sample(request):
                if isinstance(event, Sample):
                    ended.append(time.monotonic())

        running = asyncio.create_task(watch())
        await asyncio.sleep(0.5)
        began = time.monotonic()
        await asyncio.gather(*(engine.cancel(request.query, n) for n in range(15)))
        while len(ended) < 15:
            await asyncio.sleep(0.001)
        took.append(ended[14] - began)
        await engine.cancel(request.query)
        await running
    return statistics.median(took)


async def measure(quick: bool) -> dict[str, dict[str, Any]]:
    from workers.vllm.engine import VllmEngine
    from workers.vllm.setup import VllmOptions

    options = VllmOptions("s1-pocket", kv_cache_gib=0.5)
    plain = VllmEngine(options)
    bench = Bench(plain)
    try:
        ratios = await speeds(bench, quick)
        chains = 1_000 if quick else 10_000
        violations, growth = await fidelity(bench, chains)
        cancel = await cancelling(bench)
    finally:
        await plain.close()
    goals: dict[str, dict[str, Any]] = {}
    *situations, mixed_lengths = ratios
    for title in situations:
        for driver in DRIVERS:
            goals[f"{driver} / plain, {title}"] = at_least(ratios[title][driver], GOAL_DRIVER)
    for driver in DRIVERS:
        each = [ratios[title][driver] for title in situations]
        goals[f"{driver} / plain, all situations"] = at_least(
            statistics.geometric_mean(each), GOAL_DRIVER
        )
    ours, one_batch = (ratios[mixed_lengths][way] for way in ("session", "one batch"))
    goals["session / s1's barrier loop"] = at_least(ours, GOAL_BARRIER)
    goals["session / s1's loop, all in one batch"] = at_least(ours / one_batch, GOAL_BARRIER)
    goals[f"violations in {chains} chains"] = at_most(violations, 0)
    goals[f"memory after {chains} chains / after a quarter"] = at_most(growth, GOAL_MEMORY)
    goals["seconds to cancel 15 of 16 chains"] = at_most(cancel, GOAL_CANCEL)
    return goals


@click.command()
@click.option("--quick", is_flag=True, help="One situation, fewer repeats, 1,000 chains.")
def main(quick: bool) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    logging.disable(logging.WARNING)
    print(json.dumps(asyncio.run(measure(quick))))


if __name__ == "__main__":
    main()
