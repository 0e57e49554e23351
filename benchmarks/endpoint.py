"""Tokens per second of the endpoint against vLLM's own server, on the same model, in one run.

Both servers are up all the time and are asked in turn, so that a change of the machine's speed
meets both. Every request generates 64 tokens, none fewer: the bare server by `ignore_eos`, the
endpoint by budget forcing with the minimum at the maximum, and an answer of a few tokens on top.
Only generated tokens count, forced ones do not. On a small machine both servers' helper
processes share the engine's cores, which is not so where the engine has a GPU.

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

from scheduler.progress import progress
from workers.models import POCKET, POCKET_FOLDER

TOKENS = 64
QUESTION = "a=3 b=a*7-2+5 c=b+4*3 c?"
GOALS = {"unary": 0.85, "streaming": 0.70}
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
def server(command: list[str], url: str) -> Iterator[None]:
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
                if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                    break
            time.sleep(0.5)
        yield
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


async def compare(bare_url: str, our_url: str, *, quick: bool) -> dict[str, dict[str, object]]:
    repeats = 2 if quick else 3
    loads = {1: 4, 16: 48, 64: 128} if quick else {1: 8, 16: 96, 64: 256}
    asks = {"bare": bare(bare_url), "ours": ours(our_url)}
    found: dict[str, dict[str, object]] = {}
    with progress("endpoint", 2 * len(loads) * repeats * 2) as bar:
        for ask in asks.values():
            await measure(ask, False, 4, 16)
        for kind in GOALS:
            for concurrency, requests in loads.items():
                timings: dict[str, list[Timing]] = {name: [] for name in asks}
                for _ in range(repeats):
                    for name, ask in asks.items():
                        timing = await measure(ask, kind == "streaming", concurrency, requests)
                        timings[name].append(timing)
                        bar.advance(f"{kind}, {concurrency} requests at once")
                value = _compared(kind, concurrency, timings)
                if concurrency == GOAL_REQUESTS:
                    goal = GOALS[kind]
                    name = f"{kind}, {concurrency} requests"
                    found[name] = {"value": round(value, 3), "goal": goal, "met": value >= goal}
    return found


def _compared(kind: str, concurrency: int, timings: dict[str, list[Timing]]) -> float:
    pairs = list(zip(timings["ours"], timings["bare"], strict=True))
    ratios = [our.tokens_per_second / bare.tokens_per_second for our, bare in pairs]
    added = [1000 * (our.seconds - bare.seconds) for our, bare in pairs]
    value = statistics.median(ratios)
    rate = {name: statistics.median(t.tokens_per_second for t in timings[name]) for name in timings}
    click.echo(
        f"{kind:<10} {concurrency:3d} at once: bare {rate['bare']:7.0f} tok/s, "
        f"ours {rate['ours']:7.0f}, ratio {value:.2f} ({min(ratios):.2f}..{max(ratios):.2f}), "
        f"added {statistics.median(added):.0f} ms"
    )
    return value


@contextlib.asynccontextmanager
async def both() -> AsyncIterator[tuple[str, str]]:
    bare_port, our_port = free_port(), free_port()
    bare_url, our_url = f"http://127.0.0.1:{bare_port}", f"http://127.0.0.1:{our_port}"
    bare_command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(POCKET_FOLDER),
        "--served-model-name", POCKET, "--port", str(bare_port), "--host", "127.0.0.1",
        "--dtype", "float32", "--enforce-eager", "--max-num-seqs", "64",
        "--kv-cache-memory-bytes", str(1 << 30), "--disable-log-stats",
    ]  # fmt: skip
    our_command = [sys.executable, "-m", "thinkbudget", "serve", "--port", str(our_port)]
    with server(bare_command, bare_url), server(our_command, our_url):
        yield bare_url, our_url


@click.command()
@click.option("--quick", is_flag=True, help="Fewer requests and repeats.")
def main(quick: bool) -> None:
    async def run() -> dict[str, dict[str, object]]:
        # Ended from outside, it ends its servers too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        click.echo("starting both servers (a minute without a GPU) ...", err=True)
        async with both() as (bare_url, our_url):
            return await compare(bare_url, our_url, quick=quick)

    click.echo(json.dumps(asyncio.run(run())))


if __name__ == "__main__":
    main()
