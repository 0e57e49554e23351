"""Tokens per second of the endpoint against vLLM's own server and Ray's, on the same model.

    python -m benchmarks.endpoint [--against CHECKOUT] [--rounds N] [--restarts N] [--quick]

All servers run all the time and are measured in turn, so that a change of the machine's speed
reaches each of them. Every request generates 64 tokens (benchmarks/serving/load.py). On a machine
of few cores all servers share the engine's cores, which is not so where the engine has a GPU. On
CPU the other two run the model in a process beside vLLM's core, which is vLLM's default; the
endpoint runs it in the core's own (workers/vllm/core.py). A part of the difference is therefore the
engine's.

On two cores the other servers answer in a fast or in a slow mode (serving/server_modes.py). Every
round restarts them and measures every load once; each row says how often which mode was seen.
Goals compare with the fast mode only. If no round was fast under a load that has a goal, the bare
server is restarted up to `--restarts` times more; without a fast mode that goal has no value.

Each row also says how many CPUs other programs used. Goals leave out the measurements during which
that was more than 0.2: on a loaded machine a server in its slow mode looks like a fast one.
"""

import asyncio
import contextlib
import signal
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from benchmarks.goals import GoalResult, at_least, not_measured, report
from benchmarks.serving.endpoint_rows import EndpointLoad, EndpointRow, Measurement
from benchmarks.serving.load import completions_client, forced_client, measure
from benchmarks.serving.servers import (
    BenchmarkServer,
    bare_command,
    program_cpu,
    ray_command,
    thinkbudget_command,
)
from scheduler.progress import progress

OURS, BARE, RAY, AGAINST = "thinkbudget", "bare server", "ray.serve.llm", "other checkout"
BISTABLE = (BARE, RAY)
GOALS = {"unary": 0.85, "streaming": 0.70}
"""Our tokens per second over the bare server's, by kind of request."""
RAY_GOAL = 1.0
GOAL_STREAMS = 64
REQUESTS = {1: 8, 16: 96, 64: 256}
QUICK_REQUESTS = {1: 4, 16: 48, 64: 128}
"""By number of requests in flight, one first: how many one measurement sends."""
Note = Callable[[str], None]


class EndpointBenchmark:
    """Running servers, and a row for every load that was measured on them."""

    def __init__(self, servers: Mapping[str, BenchmarkServer], requests: Mapping[int, int]) -> None:
        self._servers, self._requests = servers, requests
        self.rows: dict[EndpointLoad, EndpointRow] = {}
        for kind in GOALS:
            one_stream = None
            for streams in requests:
                load = EndpointLoad(kind, streams)
                self.rows[load] = EndpointRow(load, BISTABLE, one_stream)
                one_stream = one_stream or self.rows[load]

    @property
    def steps(self) -> int:
        """Measurements of one round."""
        return len(self.rows) * len(self._servers)

    async def measure_all(self, note: Note) -> None:
        """One round: every load on every server in turn."""
        await self._measure(list(self.rows), list(self._servers), note)

    async def measure_goals(self, note: Note) -> None:
        """The loads that lack the bare server's fast mode, on our server and on that one."""
        await self._measure(self.without_fast_mode(), [OURS, BARE], note)

    async def _measure(
        self, loads: Sequence[EndpointLoad], names: Sequence[str], note: Note
    ) -> None:
        for name in names:
            for streamed in (False, True):
                ask = self._servers[name].ask
                await measure(ask, streamed=streamed, concurrency=16, requests=32)
        for load in loads:
            for name in names:
                self.rows[load].add(name, await self._one(load, self._servers[name]))
                note(f"{load}, {name}")

    async def _one(self, load: EndpointLoad, server: BenchmarkServer) -> Measurement:
        requests, gateway = self._requests[load.streams], server.gateway_seconds()
        before = program_cpu()
        timing = await measure(
            server.ask,
            streamed=load.kind == "streaming",
            concurrency=load.streams,
            requests=requests,
        )
        gateway = 1000 * (server.gateway_seconds() - gateway) / requests
        return Measurement(timing, program_cpu().others_since(before), gateway)

    def restart(self, names: Sequence[str]) -> None:
        for name in names:
            if name in self._servers:
                self._servers[name].restart()

    def without_fast_mode(self) -> list[EndpointLoad]:
        """Loads with a goal under which the bare server was always in its slow mode."""
        return [
            load
            for load, row in self.rows.items()
            if load.streams == GOAL_STREAMS and not row.fast_ratios(OURS, BARE)
        ]

    def goals(self) -> dict[str, GoalResult]:
        goals: dict[str, GoalResult] = {}
        for kind, goal in GOALS.items():
            load = EndpointLoad(kind, GOAL_STREAMS)
            name = f"{load}, over the bare server in its fast mode"
            goals[name] = _over(self.rows[load].fast_ratios(OURS, BARE), goal, BARE)
        if RAY in self._servers:
            medians = [
                statistics.median(ratios)
                for row in self.rows.values()
                if (ratios := row.fast_ratios(OURS, RAY))
            ]
            worst = [min(medians)] if medians else []
            goals["worst row over ray.serve.llm in its fast mode"] = _over(worst, RAY_GOAL, RAY)
        return goals

    def lines(self) -> list[str]:
        return [line for row in self.rows.values() for line in row.lines(OURS)]


def _over(ratios: Sequence[float], goal: float, name: str) -> GoalResult:
    if not ratios:
        return not_measured(goal, f"{name}: no quiet round in its fast mode")
    return at_least(statistics.median(ratios), goal)


def servers(against: Path | None, *, ray: bool) -> dict[str, BenchmarkServer]:
    """By name, not started yet."""
    found = {
        BARE: BenchmarkServer(BARE, bare_command, completions_client),
        OURS: BenchmarkServer(OURS, thinkbudget_command, forced_client),
    }
    if ray:
        found[RAY] = BenchmarkServer(RAY, ray_command, completions_client, ready="/v1/models")
    if against:
        found[AGAINST] = BenchmarkServer(
            AGAINST, thinkbudget_command, forced_client, checkout=against.resolve()
        )
    return found


async def run(benchmark: EndpointBenchmark, rounds: int, restarts: int) -> None:
    with progress("endpoint", rounds * benchmark.steps) as bar:
        for number in range(rounds):
            if number:
                benchmark.restart([BARE, RAY])
            await benchmark.measure_all(bar.advance)
        for number in range(restarts):
            if not benchmark.without_fast_mode():
                break
            click.echo(f"bare server: not in its fast mode, restart {number + 1}", err=True)
            benchmark.restart([BARE])
            await benchmark.measure_goals(lambda note: None)


@click.command()
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="CHECKOUT",
    help="Measure the endpoint of another checkout as well.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Starts of the other servers.",
)
@click.option(
    "--restarts",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Further starts of the bare server while its fast mode is missing.",
)
@click.option("--ray/--no-ray", default=True, show_default=True, help="Compare with ray.serve.llm.")
@click.option("--quick", is_flag=True, help="Fewer requests, one round, one restart.")  # fmt: skip
def main(against: Path | None, rounds: int, restarts: int, ray: bool, quick: bool) -> None:
    """Tokens per second of the endpoint against vLLM's own server and ray.serve.llm."""
    if quick:
        rounds, restarts = 1, min(restarts, 1)
    # Ended from outside, this process ends its servers too. A shell that starts a command in the
    # background has it ignore interrupts, and so would the servers, which are stopped by them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started = servers(against, ray=ray)
    with contextlib.ExitStack() as stack:
        with progress("starting servers", len(started)) as bar:
            for name, server in started.items():
                stack.enter_context(server)
                bar.advance(name)
        benchmark = EndpointBenchmark(started, QUICK_REQUESTS if quick else REQUESTS)
        asyncio.run(run(benchmark, rounds, restarts))
    for line in benchmark.lines():
        click.echo(line)
    report(benchmark.goals())


if __name__ == "__main__":
    main()
