"""Tokens per second of the endpoint against vLLM's own server and Ray's, on the same model.

All servers are up all the time and are asked in turn, so that a change of the machine's speed
meets them all. Every request generates 64 tokens, none fewer: the others by `ignore_eos`, the
endpoint by budget forcing with the minimum at the maximum, and an answer of a few tokens on top.
Only generated tokens count, forced ones do not. On a small machine all servers' helper processes
share the engine's cores, which is not so where the engine has a GPU. And on CPU the other two run
the model in a process beside vLLM's core, which is vLLM's default; the endpoint runs it in the
core's own (workers/vllm/core.py), so part of the difference is of the engine.

    python -m benchmarks.endpoint [--quick]
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import click
import httpx
import psutil

from benchmarks.goals import at_least
from scheduler.progress import progress
from workers.models import POCKET, POCKET_FOLDER

TOKENS = 64
QUESTION = "a=3 b=a*7-2+5 c=b+4*3 c?"
GOALS = {"unary": 0.85, "streaming": 0.70}
RAY_GOAL = 1.0
CONTROLLER = "ServeReplica:thinkbudget:Gateway"
GOAL_REQUESTS = 64
Ask = Callable[[httpx.AsyncClient, bool], Awaitable[int]]


class Timing(NamedTuple):
    tokens_per_second: float
    seconds: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(command: list[str], url: str, ready: str = "/health") -> Iterator[psutil.Process]:
    """A server in its own process group, ready to answer; ended with the block."""
    process = subprocess.Popen(
        command,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise click.ClickException(f"it ended at once: {' '.join(command)}")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}{ready}", timeout=5).status_code == 200:
                    break
            time.sleep(0.5)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def bare(url: str) -> Ask:
    prompt = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n<|im_start|>think"
    body = {
        "model": POCKET,
        "prompt": prompt,
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "temperature": 0,
    }

    def generated(reply: dict[str, Any]) -> int:
        usage = reply.get("usage")
        return int(usage["completion_tokens"]) if usage else 0

    return asker(f"{url}/v1/completions", body, generated)


def ours(url: str) -> Ask:
    forced = {"policy": "fixed", "max_thinking_tokens": TOKENS, "min_thinking_tokens": TOKENS}
    body = {
        "model": POCKET,
        "messages": [{"role": "user", "content": QUESTION}],
        "thinkbudget": forced | {"learn": False},
    }

    def generated(reply: dict[str, Any]) -> int:
        if "thinkbudget" not in reply:
            return 0
        kinds = reply["thinkbudget"]["spent"]["by_kind"]
        return int(kinds["reasoning"] + kinds["answer"] + kinds["discarded"])

    return asker(f"{url}/v1/chat/completions", body, generated)


def asker(path: str, body: dict[str, Any], generated: Callable[[dict[str, Any]], int]) -> Ask:
    """Asks once, streamed or not; returns the tokens that were generated."""

    async def ask(client: httpx.AsyncClient, streamed: bool) -> int:
        if not streamed:
            reply = await client.post(path, json=body)
            return generated(reply.raise_for_status().json())
        wanted = body | {"stream": True, "stream_options": {"include_usage": True}}
        tokens = 0
        async with client.stream("POST", path, json=wanted) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    tokens = generated(json.loads(line[6:])) or tokens
        return tokens

    return ask


async def measure(ask: Ask, streamed: bool, concurrency: int, requests: int) -> Timing:
    waiting = iter(range(requests))
    tokens, latencies = 0, []
    limits = httpx.Limits(max_connections=concurrency)
    async with httpx.AsyncClient(timeout=300, limits=limits) as client:

        async def worker() -> None:
            nonlocal tokens
            for _ in waiting:
                began = time.monotonic()
                generated = await ask(client, streamed)
                tokens += generated
                latencies.append(time.monotonic() - began)

        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
        took = time.monotonic() - began
    return Timing(tokens / took, statistics.median(latencies))


class Side(NamedTuple):
    """A server. `process` is there when its gateways' CPU time is to be told."""

    ask: Ask
    process: psutil.Process | None = None

    def controller_seconds(self) -> float:
        if self.process is None:
            return 0.0
        children = self.process.children(recursive=True)
        ours = [child for child in children if CONTROLLER in " ".join(child.cmdline())]
        return sum(sum(child.cpu_times()[:2]) for child in ours)


async def compare(sides: dict[str, Side], *, quick: bool) -> dict[str, dict[str, object]]:
    repeats = 2 if quick else 3
    loads = {1: 4, 16: 48, 64: 128} if quick else {1: 8, 16: 96, 64: 256}
    found: dict[str, dict[str, object]] = {}
    against_ray = []
    with progress("endpoint", len(GOALS) * len(loads) * repeats * len(sides)) as bar:
        for side in sides.values():
            await measure(side.ask, False, 16, 32)
            await measure(side.ask, True, 16, 32)
        for kind in GOALS:
            for concurrency, requests in loads.items():
                timings: dict[str, list[Timing]] = {name: [] for name in sides}
                spent = sides["ours"].controller_seconds()
                for _ in range(repeats):
                    for name, side in sides.items():
                        timing = await measure(side.ask, kind == "streaming", concurrency, requests)
                        timings[name].append(timing)
                        bar.advance(f"{kind}, {concurrency} requests at once")
                spent = 1000 * (sides["ours"].controller_seconds() - spent) / (repeats * requests)
                bare, ray = _compared(kind, concurrency, timings, spent)
                against_ray.append(ray)
                if concurrency == GOAL_REQUESTS:
                    name = f"{kind}, {concurrency} requests, over the bare server"
                    found[name] = at_least(bare, GOALS[kind])
    found["worst row over ray.serve.llm"] = at_least(min(against_ray), RAY_GOAL)
    return found


def _compared(
    kind: str, concurrency: int, timings: dict[str, list[Timing]], controller: float
) -> tuple[float, float]:
    """Our tokens a second over the bare server's, and over Ray's."""
    told, values = f"{kind:<10} {concurrency:3d} at once:", []
    ours = timings["ours"]
    for name, theirs in timings.items():
        rate = statistics.median(timing.tokens_per_second for timing in theirs)
        told += f" {name} {rate:5.0f} tok/s"
        if name == "ours":
            continue
        pairs = list(zip(ours, theirs, strict=True))
        ratios = [our.tokens_per_second / other.tokens_per_second for our, other in pairs]
        added = statistics.median(1000 * (our.seconds - other.seconds) for our, other in pairs)
        values.append(statistics.median(ratios))
        spread = f"{min(ratios):.2f}..{max(ratios):.2f}"
        told += f" (ours {values[-1]:.2f} of it, {spread}, {added:+.0f} ms);"
    click.echo(f"{told}; our gateways: {controller:.1f} ms CPU a request of {TOKENS} tokens")
    return values[0], values[1]


@contextlib.asynccontextmanager
async def all_of_them() -> AsyncIterator[dict[str, Side]]:
    ports = {name: free_port() for name in ("bare", "ray", "ours")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    bare_command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(POCKET_FOLDER),
        "--served-model-name", POCKET, "--port", str(ports["bare"]), "--host", "127.0.0.1",
        "--dtype", "float32", "--enforce-eager", "--max-num-seqs", "64",
        "--kv-cache-memory-bytes", str(1 << 30), "--disable-log-stats",
    ]  # fmt: skip
    ray_command = [sys.executable, "-m", "benchmarks.ray_llm", str(ports["ray"])]
    our_command = [sys.executable, "-m", "thinkbudget", "serve", "--port", str(ports["ours"])]
    with (
        server(bare_command, urls["bare"]),
        server(ray_command, urls["ray"], "/v1/models"),
        server(our_command, urls["ours"]) as process,
    ):
        yield {
            "bare": Side(bare(urls["bare"])),
            "ray": Side(bare(urls["ray"])),
            "ours": Side(ours(urls["ours"]), process),
        }


@click.command()
@click.option("--quick", is_flag=True, help="Fewer requests and repeats.")
def main(quick: bool) -> None:
    async def run() -> dict[str, dict[str, object]]:
        # Ended from outside, it ends its servers too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        click.echo("starting three servers (two minutes without a GPU) ...", err=True)
        async with all_of_them() as sides:
            return await compare(sides, quick=quick)

    click.echo(json.dumps(asyncio.run(run())))


if __name__ == "__main__":
    main()
