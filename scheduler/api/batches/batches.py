"""OpenAI's batches on this endpoint: what a batch is, who owns it, and which gateway runs it.

A batch is a JSON file in its owner's folder and a lock beside it. The gateway that holds the lock
runs it. One that dies leaves a batch without a holder, which any gateway takes up when it starts.
"""

import asyncio
import fcntl
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from scheduler.admission.access import CALLER, Caller
from scheduler.api.batches.file_store import FileStore, page, write_whole
from scheduler.api.protocol import MetadataKey, UserLabel, checked
from scheduler.errors import InvalidRequest, RequestError, UnknownObject

log = logging.getLogger("thinkbudget")

ENDPOINT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")
_NAME = re.compile(r"batch_[0-9a-f]{32}\.json")
_WINDOW = re.compile(r"([1-9][0-9]{0,2})h")


class BatchRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[MetadataKey, UserLabel] | None = Field(default=None, max_length=16)


class BatchRunner(Protocol):
    """Answers a file of lines; the same call again goes on with it."""

    async def run(
        self,
        source: Path,
        out: Path,
        *,
        metadata: dict[str, str],
        seconds: float,
        tell: Callable[[int, int, int, int], bool],
    ) -> tuple[Path | None, Path | None]:
        """The files of answers and of errors, None where there are none.

        `tell` takes rows in all, answered, failed, and tokens, and says whether to go on. Raises
        RequestError where the batch cannot be run.
        """


class Batches:
    """The batches in the folder of `files`."""

    def __init__(self, files: FileStore, runner: BatchRunner) -> None:
        self.files, self._runner = files, runner
        self._tasks: set[asyncio.Task[None]] = set()

    def resume(self) -> int:
        """Take up what a gateway that is gone has left; how many batches that is."""
        taken = 0
        for path in _of_batches(self.files.folder.glob("*/batch_*.json")):
            batch = json.loads(path.read_bytes())
            if batch["public"]["status"] not in ENDED and self._start(path):
                taken += 1
        return taken

    def create(self, body: object) -> dict[str, Any]:
        """A new batch of the caller's, which runs from now on. Raises RequestError."""
        request = checked(BatchRequest, body)
        if request.endpoint != ENDPOINT:
            why = f"endpoint must be {ENDPOINT}, got {request.endpoint!r}"
            raise InvalidRequest(why, field="endpoint")
        window = _WINDOW.fullmatch(request.completion_window)
        if window is None:
            why = f"completion_window must be hours, as 24h, got {request.completion_window!r}"
            raise InvalidRequest(why, field="completion_window")
        self.files.path_of(request.input_file_id)
        now, number = int(time.time()), f"batch_{secrets.token_hex(16)}"
        public = {
            "id": number,
            "object": "batch",
            "endpoint": ENDPOINT,
            "errors": None,
            "input_file_id": request.input_file_id,
            "completion_window": request.completion_window,
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "expires_at": now + 3600 * int(window[1]),
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": request.metadata,
        }
        path, caller = self.files.owned() / f"{number}.json", CALLER.get()
        owner = {"name": caller.name, "cache_salt": caller.cache_salt}
        _write(path, {"public": public, "owner": owner})
        self._start(path, caller)
        return public

    def get(self, number: str) -> dict[str, Any]:
        """Raises UnknownObject for a batch that the caller has not."""
        public: dict[str, Any] = json.loads(self._path(number).read_bytes())["public"]
        return public

    def listed(self, *, after: str | None, limit: int) -> dict[str, Any]:
        paths = _of_batches(self.files.owned().glob("batch_*.json"))
        found = [json.loads(path.read_bytes())["public"] for path in paths]
        found.sort(key=lambda each: (-each["created_at"], each["id"]))
        return page(found, after=after, limit=limit)

    def cancel(self, number: str) -> dict[str, Any]:
        """What runs is finished and kept. Raises RequestError for a batch that has ended."""
        path = self._path(number)
        batch = json.loads(path.read_bytes())
        if batch["public"]["status"] in ENDED:
            why = f"batch {number} is {batch['public']['status']} already"
            raise InvalidRequest(why, field="batch_id")
        batch["public"] |= {"status": "cancelling", "cancelling_at": int(time.time())}
        _write(path, batch)
        public: dict[str, Any] = batch["public"]
        return public

    async def close(self) -> None:
        """Leave what runs to the next gateway."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _path(self, number: str) -> Path:
        try:
            return self.files.path_of(number, ".json")
        except UnknownObject:
            raise UnknownObject("batch", number) from None

    def _start(self, path: Path, caller: Caller | None = None) -> bool:
        """False where another gateway runs it."""
        lock = path.with_suffix(".lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return False
        task = asyncio.create_task(self._run(path, lock, caller))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _run(self, path: Path, lock: IO[str], caller: Caller | None) -> None:
        batch = json.loads(path.read_bytes())
        owner = batch["owner"]
        known = caller or Caller(owner["name"], cache_salt=owner["cache_salt"])
        CALLER.set(replace(known, role="batch"))
        try:
            await self._answer(path, batch["public"], owner["name"])
        except RequestError as error:
            _change(path, status="failed", failed_at=int(time.time()), errors=_errors(error))
        except Exception:
            log.exception("batch %s cannot go on now; the next start takes it up", path.stem)
        finally:
            lock.close()

    async def _answer(self, path: Path, batch: dict[str, Any], owner: str) -> None:
        source = self.files.path_of(batch["input_file_id"])
        if batch["status"] == "validating":
            _change(path, status="in_progress", in_progress_at=int(time.time()))

        def tell(total: int, completed: int, failed: int, tokens: int) -> bool:
            counts = {"total": total, "completed": completed, "failed": failed}
            usage = {"input_tokens": 0, "output_tokens": tokens, "total_tokens": tokens}
            now = _change(path, request_counts=counts, usage=usage | _DETAILS)
            return bool(now["status"] == "in_progress")

        seconds = batch["expires_at"] - time.time()
        out, errors = await self._runner.run(
            source,
            path.with_suffix(".out.jsonl"),
            metadata=batch.get("metadata") or {},
            seconds=seconds,
            tell=tell,
        )
        status = json.loads(path.read_bytes())["public"]["status"]
        last = "cancelled" if status == "cancelling" else "completed"
        if last == "completed" and time.time() >= batch["expires_at"]:
            last = "expired"
        changes: dict[str, Any] = {"status": last, f"{last}_at": int(time.time())}
        for name, file in (("output", out), ("error", errors)):
            if file is not None:
                label = f"{path.stem}_{name}.jsonl"
                changes[f"{name}_file_id"] = self.files.adopt(file, owner=owner, name=label)
        _change(path, **changes)
        with suppress(OSError):
            path.with_suffix(".lock").unlink()


_DETAILS = {
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}


def _of_batches(paths: Iterable[Path]) -> list[Path]:
    """Without the manifests of their jobs."""
    return [path for path in paths if _NAME.fullmatch(path.name)]


def _change(path: Path, **changes: Any) -> dict[str, Any]:
    """A status of "cancelling" stays until the batch has ended."""
    batch: dict[str, Any] = json.loads(path.read_bytes())
    public: dict[str, Any] = batch["public"]
    if public["status"] == "cancelling" and changes.get("status") == "in_progress":
        changes["status"] = "cancelling"
    public |= changes
    _write(path, batch)
    return public


def _write(path: Path, batch: dict[str, Any]) -> None:
    write_whole(path, json.dumps(batch).encode())


def _errors(error: RequestError) -> dict[str, Any]:
    one = {"code": error.code, "message": error.message, "param": error.field, "line": None}
    return {"object": "list", "data": [one]}
