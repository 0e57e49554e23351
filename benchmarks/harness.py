"""A whole endpoint under faults: real processes to stop and kill, streams whose text is known.

Every stream asks a greedy chain for an exact number of thinking tokens, so that the text of a
disturbed stream can be compared with an undisturbed one, letter for letter.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil

from scheduler.config import ServeConfig
from scheduler.startup import SettingsSource

CHAT = "/v1/chat/completions"
ENGINE, CORE = "ServeReplica:thinkbudget:EngineReplica", "VLLM::EngineCore"
GATEWAY, PROXY = "ServeReplica:thinkbudget:Gateway", "ProxyActor"
SERVE_CONTROLLER = "ServeController"
LETTERS = "abcdefgh"


@dataclass(slots=True)
class ClientRecord:
    """What a client received. `silence` is the longest pause, in seconds."""

    status: int = 0
    thought: str = ""
    answer: str = ""
    error: dict[str, Any] | None = None
    done: bool = False
    broken: bool = False
    account: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    silence: float = 0.0

    @property
    def whole(self) -> bool:
        return self.status == 200 and self.done and self.error is None and not self.broken

    @property
    def refused(self) -> bool:
        """Refused, with the time after which to try again."""
        return self.status in (429, 503) and bool(self.error) and "retry-after" in self.headers

    def says_as(self, other: "ClientRecord") -> bool:
        return (self.thought, self.answer) == (other.thought, other.answer)


def question(number: int) -> str:
    """A chain of sums, another one for every number."""
    parts = [f"a={number % 10}"]
    for last, name in zip(LETTERS, LETTERS[1:4], strict=False):
        parts.append(f"{name}={last}+{(number // 10 + len(parts)) % 9 + 1}")
    return " ".join(parts) + " d?"


def body(number: int, tokens: int, **fields: Any) -> dict[str, Any]:
    """One greedy chain of exactly so many thinking tokens; `thinkbudget` is a budget instead."""
    exact = {"policy": "fixed", "max_thinking_tokens": tokens, "min_thinking_tokens": tokens}
    return {
        "model": "s1-pocket",
        "messages": [{"role": "user", "content": question(number)}],
        "temperature": 0,
        "stream": True,
        "thinkbudget": fields.pop("thinkbudget", exact) | {"learn": False},
    } | fields


class FaultHarness:
    """A running endpoint, seen from outside: by HTTP, and by its processes."""

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        self.url = f"http://127.0.0.1:{config.port}"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self.client = httpx.AsyncClient(base_url=self.url, timeout=300, limits=limits)

    async def ask(self, wanted: dict[str, Any], **headers: str) -> ClientRecord:
        """One request to its end, streamed or not. A broken connection is recorded, not raised."""
        record, began = ClientRecord(), time.monotonic()
        try:
            if wanted.get("stream"):
                await self._follow(wanted, headers, record)
            else:
                reply = await self.client.post(CHAT, json=wanted, headers=headers)
                record.status, record.headers = reply.status_code, dict(reply.headers)
                _keep_whole(record, reply)
        except (httpx.HTTPError, ValueError):
            record.broken = True
        record.seconds = time.monotonic() - began
        return record

    async def _follow(
        self, wanted: dict[str, Any], headers: dict[str, str], record: ClientRecord
    ) -> None:
        async with self.client.stream("POST", CHAT, json=wanted, headers=headers) as reply:
            record.status, record.headers = reply.status_code, dict(reply.headers)
            if reply.status_code != 200:
                await reply.aread()
                record.error = reply.json().get("error")
                return
            last = time.monotonic()
            async for line in reply.aiter_lines():
                if not line.startswith("data: "):
                    continue
                now = time.monotonic()
                record.silence, last = max(record.silence, now - last), now
                _keep_chunk(record, line[6:])

    def processes(self, name: str) -> list[psutil.Process]:
        found = []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if name in title(process):
                    found.append((process.create_time(), process))
        return [process for _, process in sorted(found, key=lambda pair: pair[0])]

    def engines(self) -> list[tuple[psutil.Process, psutil.Process]]:
        """The engines that have a core, each with it."""
        found: list[tuple[psutil.Process, psutil.Process]] = []
        for engine in self.processes(ENGINE):
            with contextlib.suppress(psutil.NoSuchProcess):
                children = engine.children(recursive=True)
                found += [(engine, child) for child in children if CORE in title(child)]
        return found

    def core_of(self, engine: psutil.Process) -> psutil.Process:
        return next(core for owner, core in self.engines() if owner == engine)

    async def loads(self) -> list[Any]:
        """What every engine replica says of itself."""
        from ray import serve

        handle = serve.get_deployment_handle("EngineReplica", "thinkbudget")
        loads: list[Any] = await handle.broadcast("load").results_async()
        return loads

    async def busy(self, *, seconds: float = 0.5) -> list[psutil.Process]:
        """Engines whose core works right now, by its CPU time; the busiest first."""
        engines = self.engines()
        before = [_cpu(core) for _, core in engines]
        await asyncio.sleep(seconds)
        used = [_cpu(core) - spent for (_, core), spent in zip(engines, before, strict=True)]
        ranked = sorted(zip(used, engines, strict=True), key=lambda pair: -pair[0])
        return [engine for spent, (engine, _) in ranked if spent > 0.1 * seconds]

    async def whole_again(self, *, at_most: float = 240) -> float:
        """Wait until all replicas serve and none has work; how many seconds that took."""
        began = time.monotonic()
        while time.monotonic() - began < at_most:
            with contextlib.suppress(Exception):  # whatever is being replaced may say anything
                loads = await asyncio.wait_for(self.loads(), 10)
                quiet = not any(load.running or load.waiting for load in loads)
                if len(loads) >= self.config.replicas and quiet and await self.healthy():
                    return time.monotonic() - began
            await asyncio.sleep(0.5)
        raise TimeoutError(f"the endpoint did not recover within {at_most:.0f} s")

    async def healthy(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return (await self.client.get("/health", timeout=10)).status_code == 200
        return False

    async def gauge(self, name: str) -> float:
        """A metric of whichever gateway answers; not a number where none does."""
        with contextlib.suppress(httpx.HTTPError):
            text = (await self.client.get("/metrics", timeout=30)).text
            lines = (line.split() for line in text.splitlines())
            return next((float(line[1]) for line in lines if line[:1] == [name]), float("nan"))
        return float("nan")

    async def idle_within(self, at_most: float) -> float:
        """Seconds until no engine has a chain any more."""
        began = time.monotonic()
        while any(load.running or load.waiting for load in await self.loads()):
            if time.monotonic() - began > at_most:
                return float("inf")
            await asyncio.sleep(0.02)
        return time.monotonic() - began


def _cpu(core: psutil.Process) -> float:
    """CPU seconds of a core and of its workers."""
    times = 0.0
    for process in (core, *core.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times += sum(process.cpu_times()[:2])
    return times


def _keep_whole(record: ClientRecord, reply: httpx.Response) -> None:
    said = reply.json()
    record.error, record.account = said.get("error"), said.get("thinkbudget") or {}
    if record.error is None:
        message = said["choices"][0]["message"]
        record.thought, record.answer = message.get("reasoning") or "", message["content"]
        record.done = True


def _keep_chunk(record: ClientRecord, text: str) -> None:
    if text == "[DONE]":
        record.done = True
        return
    said = json.loads(text)
    record.error = said.get("error") or record.error
    record.account = said.get("thinkbudget") or record.account
    for choice in said.get("choices", []):
        record.thought += choice["delta"].get("reasoning") or ""
        record.answer += choice["delta"].get("content") or ""


def title(process: psutil.Process) -> str:
    """Name and command line; empty for a process that is gone."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return f"{process.name()} {' '.join(process.cmdline())}"
    return ""


def kill(process: psutil.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def open_server(config: ServeConfig, source: SettingsSource | None = None) -> Iterator[None]:
    """`source` is where the settings came from, for a reload."""
    from scheduler.cluster import launch as served

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    served.start(config, source=source)
    try:
        yield
    finally:
        served.stop(config.application)


async def until(what: Callable[[], Awaitable[bool]], *, at_most: float) -> bool:
    ends = time.monotonic() + at_most
    while time.monotonic() < ends:
        if await what():
            return True
        await asyncio.sleep(0.02)
    return False
