"""A few limited processes that compare formulas; one that dies or takes too long is replaced."""

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import Process
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PROGRAM = Path(__file__).with_name("math_process.py")
MAX_LINE = 1 << 20
KEPT = ("PATH", "PYTHONPATH", "LANG")
Failure = Literal["slow", "killed", "down", "unreadable", "busy"]


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What one process may use, and how many there are."""

    processes: int = 2
    seconds: float = 2.0
    """Of one task. The process is killed after it."""
    megabytes: int = 512
    """Address space of a process."""
    start_seconds: float = 60.0
    """Until a process must be ready: it imports sympy."""
    failed_starts: int = 3
    """In a row, after which the pool is down for good."""
    max_waiting: int = 10_000
    """Tasks that may wait for a process; more are not done."""


class Undecided(Exception):
    """A task was not done; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure: Failure = failure


class MathPool:
    """Processes start with the first task. Use it within one event loop; `close` ends it.

    `failures` counts the tasks that were not done, by why.
    """

    def __init__(self, limits: PoolLimits | None = None) -> None:
        self.limits = limits = limits or PoolLimits()
        self.failures: Counter[Failure] = Counter()
        self._free: list[Process] = []
        self._slots = asyncio.Semaphore(limits.processes)
        self._waiting = 0
        self._failed_starts = 0
        self._closed = False
        self._alive: set[Process] = set()

    async def __aenter__(self) -> "MathPool":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def is_down(self) -> bool:
        return self._closed or self._failed_starts >= self.limits.failed_starts

    @property
    def pids(self) -> list[int]:
        """Of the processes that are alive."""
        return [worker.pid for worker in self._alive]

    async def same(self, one: str, other: str) -> bool:
        """Whether two formulas in LaTeX are equal. Raises Undecided."""
        answer = await self._ask({"one": one, "other": other})
        if answer.get("same") is None:
            raise self._undecided("unreadable")
        return bool(answer["same"])

    async def find(self, pattern: str, text: str) -> str | None:
        """The last match of a regular expression, or its first group. Raises Undecided."""
        answer = await self._ask({"pattern": pattern, "text": text})
        if "found" not in answer:
            raise self._undecided("unreadable")
        found = answer["found"]
        return None if found is None else str(found)

    async def close(self) -> None:
        """End every process. Tasks under way are Undecided."""
        self._closed = True
        for worker in list(self._alive):
            await self._end(worker)

    async def _ask(self, task: dict[str, str]) -> dict[str, Any]:
        if self.is_down:
            raise self._undecided("down")
        if self._waiting >= self.limits.max_waiting:
            raise self._undecided("busy")
        self._waiting += 1
        try:
            async with self._slots:
                return await self._ask_one(json.dumps(task).encode() + b"\n")
        finally:
            self._waiting -= 1

    async def _ask_one(self, line: bytes) -> dict[str, Any]:
        worker = self._free.pop() if self._free else await self._start()
        answered = False
        try:
            answer = await self._exchange(worker, line)
            answered = True
            return answer
        finally:
            # Also where the caller was cancelled: an answer that nobody read would be the next
            # task's.
            if answered and not self._closed:
                self._free.append(worker)
            else:
                await asyncio.shield(self._end(worker))

    async def _exchange(self, process: Process, line: bytes) -> dict[str, Any]:
        assert process.stdin is not None and process.stdout is not None
        try:
            # The process ends itself after its seconds; this is for one that is stopped.
            async with asyncio.timeout(self.limits.seconds + 1):
                process.stdin.write(line)
                await process.stdin.drain()
                reply = await process.stdout.readline()
        except TimeoutError:
            raise self._undecided("slow") from None
        except (OSError, ValueError):
            raise self._undecided("killed") from None
        if not reply:
            code = await process.wait()
            raise self._undecided("slow" if code == -14 else "killed")
        answer: dict[str, Any] = json.loads(reply)
        if answer.get("error") == "memory":
            raise self._undecided("killed")
        return answer

    async def _start(self) -> Process:
        if self.is_down:
            raise self._undecided("down")
        limits = self.limits
        # Nothing of the environment but what Python needs: no keys, no proxies.
        kept = {
            name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ
        }
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", str(PROGRAM), str(limits.megabytes), str(limits.seconds),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={**kept, "PYTHONDONTWRITEBYTECODE": "1"},
                limit=MAX_LINE,
            )  # fmt: skip
        except OSError:
            self._failed_starts += 1
            raise self._undecided("down") from None
        self._alive.add(process)
        ready = False
        try:
            assert process.stdout is not None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.start_seconds):
                    ready = bool(await process.stdout.readline())
        finally:
            if not ready:
                self._failed_starts += 1
                await asyncio.shield(self._end(process))
        if not ready:
            raise self._undecided("down")
        self._failed_starts = 0
        return process

    async def _end(self, worker: Process) -> None:
        self._alive.discard(worker)
        if worker in self._free:
            self._free.remove(worker)
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        await worker.wait()

    def _undecided(self, failure: Failure) -> Undecided:
        self.failures[failure] += 1
        return Undecided(failure)
