"""What a job writes: answers, errors and a manifest, so that the same command goes on with it.

out.jsonl                  the answers, once the job has come to its end
out.errors.jsonl           its failed rows, the last error of each
out.jsonl.partial          the answers so far; out.errors.jsonl.partial the errors so far
out.manifest.json          what the job was begun with, and how far it has come
"""

import hashlib
import json
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scheduler.batch.durability.ids import IdSet
from scheduler.batch.durability.log import Log, open_log
from scheduler.batch.storage import Location
from scheduler.errors import RequestError
from scheduler.manifest import ResumeRefused, refuse_another

SUCCESS = "_SUCCESS"


class Output:
    """The files of one job. `begin` must be called before anything is written."""

    def __init__(self, out: Location) -> None:
        stem = out.name.removesuffix(".jsonl")
        self.out = out
        self.errors = out.beside(f"{stem}.errors.jsonl")
        self.manifest = out.beside(f"{stem}.manifest.json")
        self.answers: Log = open_log(out.beside(f"{out.name}.partial"), after=out)
        self._failures: Log = open_log(self.errors.beside(f"{self.errors.name}.partial"))
        self._job: dict[str, Any] = {}
        self._state: dict[str, Any] = {}
        #: Ids that are answered.
        self.done = IdSet()
        #: By row number: how often it has failed so far, 255 at most.
        self._attempts = bytearray()
        #: By row number: 1 where the row has come up in this run and has no answer.
        self._failing = bytearray()
        #: Tokens of the answers that are done.
        self.spent = 0

    def begin(self, job: dict[str, Any], *, force: bool = False) -> None:
        """Read what is done. Raises ResumeRefused for another job's output, ValueError for an OUT
        that cannot be written.
        """
        begun, job = self.read_manifest(), json.loads(json.dumps(job))
        if begun is None and (self.answers.exists() or (self.out.exists() and self.out.size())):
            raise ValueError(f"{self.out} exists and was written by no batch job")
        changed = begun is not None and begun.get("job") != job
        if begun is not None and changed and not force:
            refuse_another(self.out, begun.get("job", {}), job)
            raise ResumeRefused(f"{self.out} was begun with other settings; --force goes on in it")
        self._job, self._state = job, (begun or {}).get("state", {})
        try:
            if self.out.store is None:
                _make_folder(self.out)
            self.write_state(status="running", began=self._state.get("began", time.time()))
            for line in self._read(self.answers):
                if self.done.add(line["custom_id"]):
                    self.spent += tokens_of(line["response"]["body"] or {})
            if changed:
                self._failures.remove()
                self.errors.remove()
            for line in self.read_failures():
                self._count_attempt(int(line["line"]), int(line.get("attempts", 1)))
        except OSError as error:
            raise ValueError(f"{self.out} cannot be written: {error}") from None
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self.out} holds a line of no batch job: {error!r}") from None

    def read_manifest(self) -> dict[str, Any] | None:
        return read_manifest(self.manifest)

    def write_state(self, **changes: Any) -> None:
        """How far the job has come, for `batch status`."""
        self._state |= changes | {"updated": time.time()}
        text = json.dumps({"job": self._job, "state": self._state}, indent=1)
        self.manifest.write(text.encode())

    @property
    def state(self) -> dict[str, Any]:
        return self._state

    @property
    def failing(self) -> int:
        """Rows that this run has left without an answer."""
        return sum(self._failing)

    def attempts(self, number: int) -> int:
        """How often a row has failed in earlier runs and this one."""
        return self._attempts[number] if number < len(self._attempts) else 0

    def answer(self, custom_id: str, line: str) -> None:
        self.answers.append(line)
        self.done.add(custom_id)

    def give_up(self, number: int) -> None:
        """A row that has failed too often is left as it is, and its error with it."""
        self._failing[number] = 1

    def fail(self, custom_id: str | None, number: int, error: RequestError) -> None:
        self._count_attempt(number, self.attempts(number) + 1)
        self._failing[number] = 1
        body = {"status_code": error.status, "request_id": None, "body": error.as_dict()}
        line = {
            "id": f"batch_req_row-{number}",
            "custom_id": custom_id,
            "line": number,
            "attempts": self.attempts(number),
            "response": body,
            "error": None,
        }
        self._failures.append(json.dumps(line))

    def publish(self, **state: Any) -> None:
        """The answers and the errors in their places; each of them appears at once."""
        failed = open_log(self.errors.beside(f".{self.errors.name}.last"))
        failed.remove()
        for line in self._last_failures():
            failed.append(line)
        if failed.exists():
            failed.publish(self.errors)
        else:
            self.errors.write(b"")
        self._failures.remove()
        self.answers.publish(self.out)
        self.write_state(status="finished", **state)
        if self.out.store is not None:
            self.out.beside(f"{self.out.name}.{SUCCESS}").write(b"")

    def close(self) -> None:
        self.answers.close()
        self._failures.close()

    def _count_attempt(self, number: int, attempts: int) -> None:
        if number >= len(self._attempts):
            more = bytes(max(1024, number + 1 - len(self._attempts)))
            self._attempts.extend(more)
            self._failing.extend(more)
        self._attempts[number] = min(255, attempts)

    def _read(self, log: Log) -> Iterator[dict[str, Any]]:
        yield from map(json.loads, log.lines())

    def read_failures(self) -> Iterator[dict[str, Any]]:
        """Those of earlier runs, and then those of this one."""
        if self.errors.exists():
            with self.errors.open() as lines:
                yield from map(json.loads, (line for line in lines if line.endswith(b"\n")))
        yield from self._read(self._failures)

    def _last_failures(self) -> Iterator[str]:
        """The last error of every row that this run has left without an answer."""
        self._failures.close()
        last = array("Q", bytes(8 * (len(self._attempts) + 1)))
        for at, line in enumerate(self.read_failures(), start=1):
            last[int(line["line"])] = at
        for at, line in enumerate(self.read_failures(), start=1):
            number = int(line["line"])
            if last[number] == at and self._failing[number]:
                yield json.dumps(line)


def read_manifest(at: Location) -> dict[str, Any] | None:
    """None where there is none. Raises ValueError for a file that is no manifest."""
    if not at.exists():
        return None
    with at.open() as file:
        try:
            found = json.loads(file.read())
        except ValueError as error:
            raise ValueError(f"{at} is no manifest of a job: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{at} is no manifest of a job")
    return found


def tokens_of(reply: dict[str, Any]) -> int:
    """What a reply cost; 0 where it does not say."""
    return int((reply.get("usage") or {}).get("completion_tokens") or 0)


def fingerprint(source: Location) -> str:
    """SHA-256 of the input, in hexadecimal."""
    with source.open() as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _make_folder(at: Location) -> None:
    Path(at.path).parent.mkdir(parents=True, exist_ok=True)
