"""Asks a model many questions: at its pace, for a known cost, and each one once.

Every answer is written to a journal before it is used. A request that is in the journal, byte for
byte, is not sent again, so an interrupted stage goes on where it was, and a changed setting asks
only what it changed.

What concerns one row (the endpoint says that the request is wrong) drops that row. What concerns
the endpoint (unreachable, overloaded, a wrong key) ends the stage, and the journal is kept.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, Any, NamedTuple

from scheduler.errors import RequestError
from training.curate.replies import Reply, parse
from training.curate.settings import Endpoint

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
Connect = Callable[[Endpoint], AbstractAsyncContextManager[Answer]]
# The endpoint's word on one request alone.
OF_ONE_ROW = (400, 413, 422)
LETTERS_PER_TOKEN = 4


class AskingEnded(Exception):
    """The endpoint answers nobody now, or enough was spent. What came is kept."""


class Cost(NamedTuple):
    """Tokens and US dollars; of an estimate, completion tokens are the most that can come."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float


def body_of(endpoint: Endpoint, prompt: str) -> dict[str, Any]:
    """The request that asks a prompt, with nothing around it."""
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": endpoint.max_tokens,
    }
    if endpoint.temperature is not None:
        body["temperature"] = endpoint.temperature
    return body | endpoint.request


def estimate(endpoint: Endpoint, requests: int, letters: int) -> Cost:
    """The most that so many requests can cost; their prompts have so many letters in all."""
    prompt, completion = letters // LETTERS_PER_TOKEN, requests * endpoint.max_tokens
    return Cost(requests, prompt, completion, dollars(endpoint, prompt, completion))


def dollars(endpoint: Endpoint, prompt_tokens: int, completion_tokens: int) -> float:
    prompt, completion = endpoint.prompt_price, endpoint.completion_price
    return (prompt_tokens * prompt + completion_tokens * completion) / 1e6


class Journal:
    """The answers of one model for one stage, by request. Keeps places in memory, not answers."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("a+b")
        self._places: dict[bytes, int] = {}
        self._file.seek(0)
        place = 0
        for line in self._file:
            if line.endswith(b"\n"):
                self._places[bytes.fromhex(json.loads(line)["request"])] = place
                place += len(line)
        self._file.truncate(place)  # a torn last line, as a crash leaves it
        self._end = place

    def get(self, body: dict[str, Any]) -> dict[str, Any] | None:
        place = self._places.get(_digest(body))
        if place is None:
            return None
        self._file.seek(place)
        line: dict[str, Any] = json.loads(self._file.readline())
        return line

    def add(self, body: dict[str, Any], kept: dict[str, Any]) -> None:
        digest = _digest(body)
        line = json.dumps({"request": digest.hex(), **kept}).encode() + b"\n"
        self._file.write(line)
        self._file.flush()
        self._places[digest] = self._end
        self._end += len(line)

    def close(self) -> None:
        self._file.close()


class Asker:
    """Asks one endpoint, at most `concurrency` at a time and `requests_per_minute` a minute."""

    def __init__(self, endpoint: Endpoint, answer: Answer, journal: Journal) -> None:
        self.endpoint, self._answer, self._journal = endpoint, answer, journal
        self._gate = asyncio.Semaphore(endpoint.concurrency)
        self._next = 0.0
        self.spent = 0.0
        self.asked = 0

    async def ask_all(self, prompts: Sequence[str]) -> list[Reply | str]:
        """For every prompt its reply, or why there is none. Raises AskingEnded."""
        tasks: list[asyncio.Task[Reply | str]] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.ask(prompt)) for prompt in prompts]
        except* AskingEnded as ended:
            raise ended.exceptions[0] from None
        return [task.result() for task in tasks]

    async def ask(self, prompt: str, **changes: Any) -> Reply | str:
        """The reply to a prompt, or why there is none; `changes` are further fields of the body."""
        body = body_of(self.endpoint, prompt) | changes
        kept = self._journal.get(body)
        if kept is None:
            async with self._gate:
                await self._pace()
                kept = await self._send(body)
            self._journal.add(body, kept)
        return parse(kept["reply"]) if "reply" in kept else f"refused: {kept['refused']}"

    async def _send(self, body: dict[str, Any]) -> dict[str, Any]:
        most = self.endpoint.max_cost
        if most is not None and self.spent >= most:
            raise AskingEnded(f"max_cost of {most} dollars is spent; the same command goes on")
        try:
            reply = await self._answer(body)
        except RequestError as error:
            if error.status in OF_ONE_ROW and error.field != "model":
                return {"refused": error.code}
            where = self.endpoint.url or self.endpoint.model
            raise AskingEnded(f"{where}: {error.message} ({error.code})") from error
        used = parse(reply)
        self.spent += dollars(self.endpoint, used.prompt_tokens, used.completion_tokens)
        self.asked += 1
        return {"reply": reply}

    async def _pace(self) -> None:
        if self.endpoint.requests_per_minute is None:
            return
        now = asyncio.get_running_loop().time()
        at = max(now, self._next)
        self._next = at + 60 / self.endpoint.requests_per_minute
        await asyncio.sleep(at - now)


def _digest(body: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()[:16]
