"""Requests for an exact number of generated tokens, sent by many clients at once."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import httpx

from workers.models import POCKET

TOKENS = 64
"""Generated tokens of one request: none fewer, and on our endpoint an answer on top."""
QUESTION = "a=3 b=a*7-2+5 c=b+4*3 c?"
Ask = Callable[[httpx.AsyncClient, bool], Awaitable[int]]
"""Sends one request, streamed or not; returns the number of tokens that were generated."""


class Timing(NamedTuple):
    """Generated tokens per second of all clients; median seconds of a request."""

    tokens_per_second: float
    seconds: float


def completions_client(url: str) -> Ask:
    """Asks vLLM's completions route; `ignore_eos` holds the number of tokens."""
    prompt = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n<|im_start|>think"
    body = {
        "model": POCKET,
        "prompt": prompt,
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "temperature": 0,
    }

    def generated(response: dict[str, Any]) -> int:
        usage = response.get("usage")
        return int(usage["completion_tokens"]) if usage else 0

    return _client(f"{url}/v1/completions", body, generated)


def forced_client(url: str) -> Ask:
    """Asks thinkbudget's chat route; a minimum at the maximum holds the number of tokens."""
    forced = {"policy": "fixed", "max_thinking_tokens": TOKENS, "min_thinking_tokens": TOKENS}
    body = {
        "model": POCKET,
        "messages": [{"role": "user", "content": QUESTION}],
        "thinkbudget": forced | {"learn": False},
    }

    def generated(response: dict[str, Any]) -> int:
        """Forced tokens do not count: the model did not generate them."""
        if "thinkbudget" not in response:
            return 0
        kinds = response["thinkbudget"]["spent"]["by_kind"]
        return int(kinds["reasoning"] + kinds["answer"] + kinds["discarded"])

    return _client(f"{url}/v1/chat/completions", body, generated)


def _client(path: str, body: dict[str, Any], generated: Callable[[dict[str, Any]], int]) -> Ask:
    async def ask(client: httpx.AsyncClient, streamed: bool) -> int:
        if not streamed:
            response = await client.post(path, json=body)
            return generated(response.raise_for_status().json())
        streaming = body | {"stream": True, "stream_options": {"include_usage": True}}
        tokens = 0
        async with client.stream("POST", path, json=streaming) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    tokens = generated(json.loads(line[6:])) or tokens
        return tokens

    return ask


async def measure(ask: Ask, *, streamed: bool, concurrency: int, requests: int) -> Timing:
    """Send so many requests, so many of them in flight."""
    remaining = iter(range(requests))
    tokens, latencies = 0, []
    limits = httpx.Limits(max_connections=concurrency)
    async with httpx.AsyncClient(timeout=300, limits=limits) as client:

        async def worker() -> None:
            nonlocal tokens
            for _ in remaining:
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
