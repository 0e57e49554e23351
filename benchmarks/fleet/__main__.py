"""What a fleet costs its shared parts a second, and where each of them saturates.

python -m benchmarks.fleet [--quick]

1,000 engines, 50 gateways, 5,000 requests a second, 1,000 classes. An hour of that is 18 million
requests, which no one machine plays. So the real code runs in windows at the fleet's sizes, and its
CPU time is measured by operation; what the fleet needs of it is computed from that, and said so.
The goal is in multiples of the load that one gateway's core can serve. That figure has the
simulated engines' part in it, so it is low and the multiples are high: read them beside the rates.
"""

import asyncio
import logging
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

import benchmarks.fleet.parts as parts
from benchmarks.fleet.exchange import ExchangeLoad, exchanges, shared
from benchmarks.fleet.scale import (
    DEATHS_AN_HOUR,
    ENGINES,
    GATEWAYS,
    MACHINES,
    REQUESTS,
    Core,
    Cost,
)
from benchmarks.fleet.traffic import Played, Traffic, play
from benchmarks.goals import GoalResult, at_least, at_most, not_measured, report
from benchmarks.serving.postgres import missing, postgres
from policies.curves.vote_types import tables
from scheduler.progress import progress
from scheduler.store.writer import BATCH_LINES

LEARNED: Final = {"first second": 0, "after 2 minutes": 600, "after 17 minutes": 5000}
"""Queries of a class by then, at 5 a second; from 5,000 on old ones decay."""
LADDER: Final = (1.0, 1.5, 2.0, 4.0)
DEATHS: Final = round(DEATHS_AN_HOUR * ENGINES)
TOKENS: Final = 150.0
ONE_CORE: Final = "a gateway's own core, requests a second"


def curve_store(seconds: float) -> tuple[list[ExchangeLoad], float]:
    """Windows by how much is learned, then at more load: the most that it holds a second."""
    steps = [(f"{name}, at {REQUESTS:.0f}/s", n, REQUESTS, True) for name, n in LEARNED.items()]
    steps += [(f"learned, at {part:g} x", 5000, part * REQUESTS, True) for part in LADDER[1:]]
    steps.append(("first second, fitting where it counts", 0, REQUESTS, False))
    loads = []
    tables()  # made once a process
    with progress("curve store", round(seconds) * len(steps)) as bar:
        for name, queries, rate, paced in steps:
            core = Core()
            window = seconds if paced else min(1.0, seconds)
            with shared(queries, paced=paced, core=core) as store:
                loads.append(asyncio.run(exchanges(store, core, rate, window, bar)))
            click.echo(f"  {name}: {loads[-1].row()}")
    held = [load.rate for load in loads[:-1] if load.holds]
    return loads, max(held, default=0.0)


def outcome_store(count: int) -> list[Cost]:
    costs = []
    few = parts.batch_of_a_gateway()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rates = [parts.sqlite(folder, count, each) for each in (few, BATCH_LINES)]
        if missing() is None:
            server = stack.enter_context(postgres(durable=True))
            for each in (few, BATCH_LINES):
                url = server.create(f"store{each}")
                rates.append(
                    parts.into_store(f"postgresql, {each} a batch", url, count, each, server.pid)
                )
    for rate in rates:
        click.echo(f"  {rate.row()}")
        if rate.name.startswith("sqlite"):
            costs.append(Cost(f"outcome store: {rate.name}", rate.cpu / rate.lines, REQUESTS))
        else:
            # The gateways parse their own lines; the database's part is what they share.
            taken = rate.server_cpu / rate.lines
            costs.append(Cost(f"outcome store: {rate.name}, database", taken, REQUESTS))
    return costs


def played(name: str, traffic: Traffic) -> Played:
    with progress(name, traffic.requests // 100) as bar:
        found = play(traffic, bar)
    low, middle, high = found.prices
    click.echo(
        f"  {name}: {found.asked} asked, {found.answered} answered, {found.observed} observed, "
        f"{found.stored} stored, {found.deaths} deaths with work on them moved "
        f"{found.migrations} chains, {found.replayed} tokens read again"
    )
    click.echo(
        f"    then: {found.tokens:.0f} tokens a query, {found.accuracy:.1%} right; prices of the "
        f"gateways {low:.2g} to {high:.2g}, median {middle:.2g}"
    )
    return found


@click.command()
@click.option("--quick", is_flag=True, help="Shorter windows, fewer requests.")
def main(quick: bool) -> None:
    """Measure the shared parts of a fleet, and report the goals."""
    logging.getLogger("thinkbudget").setLevel(logging.ERROR)
    goals: dict[str, GoalResult] = {}
    requests = 300 if quick else 2000
    window = played("window of the fleet", Traffic(requests, requests / REQUESTS, DEATHS))
    small = Traffic(400 if quick else 4000, 3600.0, 1, TOKENS, 5, 100, 20)
    hour = played("an hour of a tenth of it, one request in 450", small)
    alone = played("one gateway", Traffic(300 if quick else 2000, 20.0, 0, None, 1, 20, 20))
    one_gateway = 1 / alone.cpu
    loads, held = curve_store(3.0 if quick else 10.0)
    costs = [
        Cost("gateway, with its simulated engine", alone.cpu, REQUESTS, GATEWAYS),
        Cost("routing of a call, 32 engines", parts.routing(32), REQUESTS, GATEWAYS),
        Cost("routing of a call, 1,000 engines", parts.routing(ENGINES), REQUESTS, GATEWAYS),
        Cost("reports of 1,000 engines", parts.reports(ENGINES), GATEWAYS, GATEWAYS),
        Cost("quota of a request, 1,000 keys", parts.quotas(), REQUESTS, GATEWAYS),
        *outcome_store(2000 if quick else 20_000),
    ]
    click.echo(f"{ONE_CORE}: {one_gateway:.0f}")
    for cost in costs:
        click.echo(cost.row())
    for grant in (parts.granted(600), parts.granted(6000), parts.granted(60_000, 1)):
        click.echo(
            f"a key of {grant.limit} requests a minute at {GATEWAYS} gateways gets "
            f"{grant.share:.1%} of them when it asks for all, at random gateways"
        )
    routing = 1 / costs[2].seconds
    goals["requests, observations and outcomes lost in the window"] = at_most(window.lost, 0)
    goals["the same in the hour"] = at_most(hour.lost, 0)
    goals["observations lost by the curve store"] = at_most(sum(each.lost for each in loads), 0)
    goals["curve store, in loads of a gateway's core"] = at_least(held / one_gateway, MACHINES)
    goals["routing, in loads of a gateway's core"] = at_least(routing / one_gateway, MACHINES)
    goals["curve store, observations a second it holds"] = at_least(held, REQUESTS)
    goals["tokens of a query over their goal"] = at_most(hour.tokens / TOKENS, 1.05)
    name = "outcome store, requests a second it holds"
    stores = [cost.saturates_at for cost in costs if cost.name.startswith("outcome store")]
    goals[name] = at_least(max(stores), REQUESTS) if stores else not_measured(REQUESTS, "no store")
    report(goals)


if __name__ == "__main__":
    main()
