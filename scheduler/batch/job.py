"""Batch jobs: OpenAI batch lines in, answers out, and the same command again goes on from there.

Answers go to OUT as they come, in no particular order; failed lines go to OUT's `.errors.jsonl`,
and are tried again by the next run. A line that is not JSON is recorded as failed. The manifest
beside OUT says what the job was; another job does not write into the same file.
"""

import asyncio
import hashlib
import json
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from policies.price import Price
from scheduler.errors import InvalidRequest, RequestError
from scheduler.progress import Progress

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
FSYNC_SECONDS = 5.0
URL = "/v1/chat/completions"


class ResumeRefused(ValueError):
    """OUT belongs to another job."""


class Summary(NamedTuple):
    """`skipped` were answered by an earlier run; `errors` counts failures by code."""

    answered: int
    failed: int
    skipped: int
    tokens: int
    errors: dict[str, int]


class Files(NamedTuple):
    """Where a job writes."""

    out: Path
    errors: Path
    manifest: Path

    @classmethod
    def beside(cls, out: Path) -> "Files":
        stem = out.name.removesuffix(".jsonl")
        return cls(
            out, out.with_name(f"{stem}.errors.jsonl"), out.with_name(f"{stem}.manifest.json")
        )


def prepare(source: Path, files: Files, settings: dict[str, Any], *, force: bool) -> set[str]:
    """The ids that are answered already; refuses files that another job has begun."""
    job = {"input_sha256": _sha256(source), **settings}
    if files.out.exists() and files.out.samefile(source):
        raise ValueError(f"{files.out} is the input; choose another output file")
    if files.out.exists() and files.out.stat().st_size and not files.manifest.exists():
        raise ValueError(f"{files.out} is there and was written by no batch job")
    if files.out.exists() and files.manifest.exists() and not force:
        begun = json.loads(files.manifest.read_text(encoding="utf-8"))
        differing = [key for key in job if begun.get(key) != job[key]]
        if differing:
            raise ResumeRefused(
                f"{files.out} was begun with another {', '.join(differing)}; "
                "choose another output file, or go on in it all the same with --force"
            )
    files.out.parent.mkdir(parents=True, exist_ok=True)
    files.manifest.write_text(json.dumps(job, indent=1), encoding="utf-8")
    _cut_torn_line(files.out)
    files.errors.write_text("", encoding="utf-8")
    return {line["custom_id"] for line in _lines(files.out)}


async def run(
    source: Path,
    files: Files,
    answer: Answer,
    *,
    done: set[str],
    concurrency: int,
    progress: Progress,
    price: Price | None = None,
) -> Summary:
    """Answer every line that is not done, at most `concurrency` at a time.

    A `price` goes with every line that leaves its policy open, and follows what the lines took.
    """
    answered = failed = skipped = tokens = 0
    errors: dict[str, int] = {}
    gate = asyncio.Semaphore(concurrency)
    synced = time.monotonic()
    seen: set[str] = set()

    with (
        files.out.open("a", encoding="utf-8") as out,
        files.errors.open("a", encoding="utf-8") as bad,
    ):

        def record(file: IO[str], line: dict[str, Any]) -> None:
            nonlocal synced
            file.write(json.dumps(line) + "\n")
            file.flush()
            if time.monotonic() - synced >= FSYNC_SECONDS:
                os.fsync(file.fileno())
                synced = time.monotonic()

        def fail(custom_id: str | None, number: int, error: RequestError) -> None:
            nonlocal failed
            failed += 1
            errors[error.code] = errors.get(error.code, 0) + 1
            body = {"status_code": error.status, "request_id": None, "body": error.as_dict()}
            line = {"custom_id": custom_id, "line": number, "response": body, "error": None}
            record(bad, line)
            progress.advance()

        async def one(custom_id: str, number: int, body: dict[str, Any]) -> None:
            nonlocal answered, tokens, price
            try:
                reply = await answer(_priced(body, price) if price else body)
            except RequestError as error:
                fail(custom_id, number, error)
                return
            finally:
                gate.release()
            answered += 1
            spent = reply["usage"]["completion_tokens"]
            tokens += spent
            price = price.after(spent) if price else None
            response = {"status_code": 200, "request_id": reply["id"], "body": reply}
            line = {"id": f"batch_req_{reply['id']}", "custom_id": custom_id}
            record(out, line | {"response": response, "error": None})
            progress.advance(f"{tokens} tokens, {failed} failed")

        async with asyncio.TaskGroup() as group:
            with source.open("rb") as raw:
                for number, text in enumerate(raw, start=1):
                    if not text.strip():
                        continue
                    try:
                        custom_id, body = _request(text)
                        if custom_id in seen:
                            raise InvalidRequest(
                                f"custom_id {custom_id!r} came up before", field="custom_id"
                            )
                    except InvalidRequest as error:
                        fail(None, number, error)
                        continue
                    seen.add(custom_id)
                    if custom_id in done:
                        skipped += 1
                        continue
                    await gate.acquire()
                    group.create_task(one(custom_id, number, body))
        os.fsync(out.fileno())
    return Summary(answered, failed, skipped, tokens, errors)


def price_for(budget: float, source: Path, files: Files, done: set[str]) -> Price:
    """The price that spends a whole job's budget, less what an earlier run has spent of it.

    It is held on average: the last few lines are not cut short for it.
    """
    lines = _lines(files.out)
    spent = sum(line["response"]["body"]["usage"]["completion_tokens"] for line in lines)
    left = count_lines(source) - len(done)
    if not 0 < budget < math.inf:
        raise ValueError(f"budget must be positive and finite, got {budget!r}")
    if left and spent >= budget:
        raise ValueError(f"budget is {budget:g} tokens, and {spent} are spent with {left} to go")
    return Price.for_job(max(1.0, budget - spent), left)


def _priced(body: dict[str, Any], price: Price) -> dict[str, Any]:
    """The body with the job's price, unless it says itself how it is to be answered."""
    own = body.get("thinkbudget", {})
    if not isinstance(own, dict) or "price" in own or own.get("policy", "priced") != "priced":
        return body
    return body | {"thinkbudget": own | {"policy": "priced", "price": price.per_token}}


def count_lines(source: Path) -> int:
    with source.open("rb") as lines:
        return sum(bool(line.strip()) for line in lines)


def _request(text: bytes) -> tuple[str, dict[str, Any]]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"not JSON: {error}", field=None, code="invalid_json") from None
    if not isinstance(line, dict):
        raise InvalidRequest("the line must be a JSON object", field=None, code="invalid_json")
    custom_id, body = line.get("custom_id"), line.get("body")
    if not isinstance(custom_id, str) or not custom_id:
        raise InvalidRequest(
            f"custom_id must be a text that is not empty, got {custom_id!r}", field="custom_id"
        )
    if line.get("url", URL) != URL:
        raise InvalidRequest(f"url must be {URL}, got {line['url']!r}", field="url")
    if line.get("method", "POST") != "POST":
        raise InvalidRequest(f"method must be POST, got {line['method']!r}", field="method")
    if not isinstance(body, dict):
        raise InvalidRequest("body must be a JSON object", field="body")
    return custom_id, body


def _cut_torn_line(path: Path) -> None:
    """A killed run may have left half a line at the end."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        whole = 0
        for line in file:
            if line.endswith(b"\n"):
                whole += len(line)
        file.truncate(whole)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
