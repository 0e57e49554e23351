"""The write-ahead log of the curve store.

    PATH       a snapshot of the whole store, written anew from time to time
    PATH.log   one line a report, handed to the system before the report is confirmed, and to the
               disk at least once a second
    PATH.log.pid   the process that holds the log

Reports are numbered: one that is in the snapshot and in the log counts once. The log is locked, so
that only one process writes the files.
"""

import fcntl
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, Self

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from policies.curves.curve import ClassCurve
from policies.curves.observation import Observation
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan
from policies.signals import Confidence, Probe
from policies.tally import Vote
from scheduler.curves.exchange import PackedUpdate, Report
from scheduler.curves.feedback import (
    Feedback,
    FeedbackConfig,
    FeedbackResult,
    Label,
    PendingFeedback,
)
from scheduler.curves.pace import Pace
from scheduler.curves.records import LabelRecord, ObservationRecord, Record
from scheduler.curves.store import CurveStore

log = logging.getLogger("thinkbudget")

SYNC_SECONDS = 0.5
SNAPSHOT_SECONDS = 30.0
SNAPSHOT_RECORDS = 100_000


class DurableCurveStore:
    """The curve store with its labels and, given a path, its files.

    A gateway reaches it by `exchange`. A controller in the same process uses it as a `CurveSource`.
    `clock` says when the log is synced and a snapshot is due, in seconds from any beginning.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        wait_seconds: float = 0.0,
        feedback: Feedback | None = None,
        round_tokens: float = 0.0,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._clock = path, clock
        self._writer, self._number = uuid.uuid4().hex, 0
        self._feedback = feedback or Feedback()
        self.store = load(path) if path is not None and path.is_file() else CurveStore()
        self.store.round_tokens, self.store.pace = round_tokens, pace
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._log = _locked(path, wait_seconds)
        try:
            for report in _reports(_log_of(path)):
                self.store.take(report)
            self._synced = clock()
            self.snapshot()
        except BaseException:
            self._release(path)
            raise

    def exchange(self, report: Report, epoch: str, version: int) -> PackedUpdate:
        """Take a report in and return newer curves; the reply confirms the report."""
        self._take(report)
        return self.store.packed_update(epoch, version)

    def curve(self, model: str, query_class: str) -> ClassCurve | None:
        return self.store.curve(model, query_class)

    def sizes(self, model: str) -> dict[str, float]:
        return self.store.sizes(model)

    def observe(self, record: ObservationRecord) -> None:
        """A record that cannot be learned from is logged and left out."""
        self._take_own(record)

    def remember(self, answered: PendingFeedback) -> None:
        self._feedback.remember(answered)

    async def label(self, label: Label) -> FeedbackResult:
        """Take a label in; what is learned of it is written to the log as reports are."""
        result = self._feedback.judge(label)
        if result.record is not None:
            self._take_own(result.record)
        return result

    async def export(self) -> dict[str, Any]:
        return self.store.as_dict()

    def _take_own(self, record: Record) -> None:
        """Numbered as a report where a log may show it again after a crash."""
        if self._path is None:
            self.store.count(record)
            return
        self._number += 1
        report = Report(self._writer, self._number, [record])
        self._take(report)

    def _take(self, report: Report) -> None:
        """Write a report to the log, then count it, unless it has been counted."""
        if self.store.lacks(report):
            if self._path is not None:
                self._write(report)
            for answered in report.answered:
                self.remember(answered)
            self.store.take(report)
        if self._path is not None:
            self._sync()

    def configure(self, round_tokens: float, feedback: FeedbackConfig) -> None:
        """Change what may change while it runs; what was learned stays."""
        self.store.round_tokens = round_tokens
        self._feedback.config = feedback

    def reprice(self, price: float) -> None:
        self.store.reprice(price)

    def snapshot(self) -> None:
        """Everything into PATH; the log begins anew."""
        if self._path is None:
            return
        save(self.store, self._path)
        self._log.truncate(0)
        self._snapped, self._logged, self._unsynced = self._clock(), 0, False

    def close(self) -> None:
        if self._path is not None and not self._log.closed:
            try:
                self.snapshot()
            finally:
                self._release(self._path)

    def _release(self, path: Path) -> None:
        """Whatever happens: what this process has logged, the next one reads."""
        _holder_of(path).unlink(missing_ok=True)
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, report: Report) -> None:
        if not report.records:
            return
        self._log.write(_json(_line(report)) + b"\n")
        self._logged += len(report.records)
        self._unsynced = True

    def _sync(self) -> None:
        now = self._clock()
        if self._unsynced and now - self._synced >= SYNC_SECONDS:
            os.fsync(self._log.fileno())
            self._synced, self._unsynced = now, False
        old = now - self._snapped >= SNAPSHOT_SECONDS
        if self._logged and (old or self._logged >= SNAPSHOT_RECORDS):
            self.snapshot()


def save(store: CurveStore, path: Path) -> None:
    """A snapshot, with the one before it gone only when the new one is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(_json(store.as_dict()))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(path: Path) -> CurveStore:
    """A snapshot; raises ValueError naming a file that is none."""
    try:
        return CurveStore.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a curve store: {error}") from None


def holder(path: Path) -> str | None:
    """The process that writes the files at `path`, as "pid 123"; None where no process does."""
    if not _log_of(path).is_file():
        return None
    with FileIO(_log_of(path), "r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _pid(_holder_of(path))
    return None


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + ".log")


def _holder_of(path: Path) -> Path:
    return path.with_name(path.name + ".log.pid")


def _locked(path: Path, wait_seconds: float) -> FileIO:
    """The log, locked for this process. Raises ValueError that names the process holding it.

    Unbuffered: what is written is with the system at once, and outlives this process.
    """
    file = FileIO(_log_of(path), "a")
    until = time.monotonic() + wait_seconds
    is_told = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _holder_of(path).write_text(str(os.getpid()), encoding="utf-8")
            return file
        except BlockingIOError:
            message = (
                f"{_log_of(path)} is being written by another process ({_pid(_holder_of(path))})"
            )
            if time.monotonic() >= until:
                file.close()
                raise ValueError(message) from None
            if not is_told:
                log.warning("%s: waiting %.0f s for it", message, wait_seconds)
                is_told = True
        time.sleep(0.1)


def _pid(file: Path) -> str:
    """The process named in a file that its owner may just be writing, or removing."""
    try:
        pid = file.read_text(encoding="utf-8")
    except OSError:
        pid = ""
    return f"pid {pid or 'unknown'}"


def _reports(path: Path) -> Iterator[Report]:
    """The reports in the log; a torn line, as a crash or a full disk leaves it, is skipped."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                stored = json.loads(line)
                records = [_record(one) for one in stored["records"]]
                yield Report(stored["writer"], stored["number"], records)
            except (ValueError, KeyError, TypeError) as error:
                log.warning("%s: a torn line is skipped: %s", path, error)


def _json(value: Any) -> bytes:
    """As JSON, dataclasses too; half a surrogate pair, which UTF-8 does not have, as an escape."""
    try:
        return to_json(value, inf_nan_mode="constants")
    except PydanticSerializationError:
        return json.dumps(to_jsonable_python(value)).encode()


def _line(report: Report) -> dict[str, Any]:
    records = [record._asdict() for record in report.records]
    return {"writer": report.writer, "number": report.number, "records": records}


def _record(stored: Mapping[str, Any]) -> Record:
    fields = dict(stored) | {"observation": _observation(stored["observation"])}
    return LabelRecord(**fields) if "reward" in fields else ObservationRecord(**fields)


def _observation(stored: Mapping[str, Any]) -> Observation:
    return Observation(
        stored["query_class"],
        tuple(_vote(vote) for vote in stored["history"]),
        Budget(**stored["budget"]),
        stored["temperature"],
        _plan(stored["plan"]),
        stored["right"],
        tuple(Probe(*probe) for probe in stored.get("probes", ())),
        stored["chance"],
        stored.get("difficulty"),
    )


def _vote(stored: Mapping[str, Any]) -> Vote:
    confidence = stored["confidence"]
    return Vote(**dict(stored) | {"confidence": Confidence(*confidence) if confidence else None})


def _plan(stored: Mapping[str, Any] | None) -> Plan | None:
    """A forecast is not learned from, and not kept."""
    if stored is None:
        return None
    setting = ChainSetting(*kept) if (kept := stored.get("setting")) else None
    budget = Budget(**stored["budget"])
    return Plan(**dict(stored) | {"budget": budget, "forecast": None, "setting": setting})
