"""Batch jobs: OpenAI batch lines in, answers out. The same command again resumes the job.

Answers are written to OUT as they come, in no particular order. Failed lines are written to OUT's
`.errors.jsonl` and tried again by the next run. Whatever is wrong with a line is an error of that
line alone. The manifest beside OUT describes the job; another job does not write into that file.
"""

import asyncio
import json
import os
import time
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

from policies.price import Price
from scheduler.batch.files import Files
from scheduler.errors import InvalidRequest, RequestError
from scheduler.json_body import check_text, parse_json
from scheduler.progress import Progress

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
FSYNC_SECONDS = 5.0
URL = "/v1/chat/completions"
# These statuses say that the endpoint will refuse every other line as well.
REFUSED_FOR_ALL = (401, 403)


class JobEnded(Exception):
    """No line can be answered any more: the endpoint refuses this caller, or a file is full.

    The job ends at once, and no line is recorded as failed for it.
    """


class Summary(NamedTuple):
    """`skipped` were answered by an earlier run; `errors` counts failures by code."""

    answered: int
    failed: int
    skipped: int
    tokens: int
    errors: dict[str, int]


class BatchJob:
    """Answers the lines of a file that are not done, at most `concurrency` at a time.

    A `price` goes with every line that leaves its policy open; it follows what the lines cost.
    `options` are fields of the `thinkbudget` object of every line that does not have them.
    """

    def __init__(
        self,
        source: Path,
        files: Files,
        answer: Answer,
        *,
        done: set[str],
        concurrency: int,
        progress: Progress,
        price: Price | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self._source, self._files, self._answer = source, files, answer
        self._done, self._progress, self._price = done, progress, price
        self._options = options or {}
        self._gate = asyncio.Semaphore(concurrency)
        self._seen: set[str] = set()
        self._answered = self._failed = self._skipped = self._tokens = 0
        self._errors: Counter[str] = Counter()
        self._synced = time.monotonic()

    async def run(self) -> Summary:
        """Answer the lines. Raises JobEnded when none can be answered any more."""
        try:
            await self._run()
        except OSError as error:
            raise JobEnded(f"{self._files.out} cannot be written: {error}") from error
        return Summary(
            self._answered, self._failed, self._skipped, self._tokens, dict(self._errors)
        )

    async def _run(self) -> None:
        with (
            self._files.out.open("a", encoding="utf-8") as out,
            self._files.errors.open("a", encoding="utf-8") as errors,
        ):
            self._out, self._bad = out, errors
            try:
                async with asyncio.TaskGroup() as group:
                    with self._source.open("rb") as lines:
                        for number, raw in enumerate(lines, start=1):
                            if raw.removeprefix(BOM_UTF8).strip():
                                await self._begin(group, number, raw)
            except* (JobEnded, OSError) as ended:
                raise ended.exceptions[0] from None
            finally:
                os.fsync(out.fileno())

    async def _begin(self, group: asyncio.TaskGroup, number: int, raw: bytes) -> None:
        try:
            custom_id, body = _request(_object(raw))
            if custom_id in self._seen:
                message = f"custom_id {custom_id!r} came up before"
                raise InvalidRequest(message, field="custom_id")
        except InvalidRequest as error:
            self._fail(_readable_id(raw), number, error)
            return
        self._seen.add(custom_id)
        if custom_id in self._done:
            self._skipped += 1
            return
        await self._gate.acquire()
        group.create_task(self._answer_line(custom_id, number, body))

    async def _answer_line(self, custom_id: str, number: int, body: dict[str, Any]) -> None:
        try:
            reply = await self._answer(self._completed(body))
            line, spent = _answered(custom_id, reply)
        except RequestError as error:
            if error.status in REFUSED_FOR_ALL:
                raise JobEnded(f"the endpoint refuses this job: {error.message}") from error
            self._fail(custom_id, number, error)
        except Exception as error:  # one bad line never ends a job
            message = f"{type(error).__name__}: {error}"
            self._fail(custom_id, number, RequestError(message[:1000], code="failed"))
        else:
            self._record(line, spent)
        finally:
            self._gate.release()

    def _completed(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body with the job's options and price, where it says nothing itself."""
        own = body.get("thinkbudget") or {}
        if self._options and isinstance(own, dict):
            body = body | {"thinkbudget": self._options | own}
        return _priced(body, self._price) if self._price else body

    def _record(self, line: str, spent: int) -> None:
        self._write(self._out, line)
        self._answered += 1
        self._tokens += spent
        self._price = self._price.after(spent) if self._price else None
        self._progress.advance(f"{self._tokens} tokens, {self._failed} failed")

    def _fail(self, custom_id: str | None, number: int, error: RequestError) -> None:
        self._failed += 1
        self._errors[error.code] += 1
        body = {"status_code": error.status, "request_id": None, "body": error.as_dict()}
        line = {"custom_id": custom_id, "line": number, "response": body, "error": None}
        self._write(self._bad, json.dumps(line))
        self._progress.advance()

    def _write(self, file: IO[str], line: str) -> None:
        """Raises OSError, which ends the job: no other line could be kept either."""
        file.write(f"{line}\n")
        file.flush()
        if time.monotonic() - self._synced >= FSYNC_SECONDS:
            os.fsync(file.fileno())
            self._synced = time.monotonic()


def _answered(custom_id: str, reply: dict[str, Any]) -> tuple[str, int]:
    """The line of OUT for a reply, and the tokens that it took; 0 where the reply names none."""
    if reply.get("error") and "choices" not in reply:
        raise RequestError(str(reply["error"])[:1000], code="failed")
    usage, name = reply.get("usage") or {}, reply.get("id") or custom_id
    spent = int(usage.get("completion_tokens") or 0)
    line = {
        "id": f"batch_req_{name}",
        "custom_id": custom_id,
        "response": {"status_code": 200, "request_id": name, "body": reply},
        "error": None,
    }
    return json.dumps(line), spent


def _priced(body: dict[str, Any], price: Price) -> dict[str, Any]:
    """The body with the job's price, unless it says itself how it is to be answered."""
    own = body.get("thinkbudget") or {}
    if not isinstance(own, dict) or "price" in own or own.get("policy", "priced") != "priced":
        return body
    return body | {"thinkbudget": own | {"policy": "priced", "price": price.per_token}}


def _object(raw: bytes) -> dict[str, Any]:
    line = parse_json(raw.removeprefix(BOM_UTF8))
    if not isinstance(line, dict):
        raise InvalidRequest("the line must be a JSON object", field=None, code="invalid_json")
    return line


def _readable_id(raw: bytes) -> str | None:
    """The custom_id of a line that is refused, as far as one can be made out."""
    try:
        text = raw.decode("utf-8-sig", errors="replace")
        line = json.loads(text, parse_int=float)  # an int of many digits is an error
    except (ValueError, RecursionError):
        return None
    custom_id = line.get("custom_id") if isinstance(line, dict) else None
    return custom_id if isinstance(custom_id, str) else None


def _request(line: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    custom_id, body = line.get("custom_id"), line.get("body")
    if not isinstance(custom_id, str) or not custom_id:
        message = f"custom_id must be a text that is not empty, got {custom_id!r}"
        raise InvalidRequest(message, field="custom_id")
    if line.get("url", URL) != URL:
        raise InvalidRequest(f"url must be {URL}, got {line['url']!r}", field="url")
    if line.get("method", "POST") != "POST":
        raise InvalidRequest(f"method must be POST, got {line['method']!r}", field="method")
    if not isinstance(body, dict):
        raise InvalidRequest("body must be a JSON object", field="body")
    check_text(body)
    return custom_id, body
