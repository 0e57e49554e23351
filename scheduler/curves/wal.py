"""A curve store that survives: a snapshot, and beside it every report that came in since.

    PATH       the whole book, written anew from time to time; it is either whole or not there
    PATH.log   one line a report, handed to the system before the report is confirmed, and to the
               disk at least once a second

Reports are numbered, so one that is both in the snapshot and in the log counts once. The log is
locked: a second process that would keep the same book is refused.
"""

import fcntl
import json
import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any, Self

from policies.curves.exit_statistics import ProbeTrajectory
from policies.curves.observation import Observation
from policies.plan import Budget, Plan
from policies.signals import Probe
from policies.tally import Vote
from scheduler.curves.feedback import Feedback, FeedbackResult, Label
from scheduler.curves.records import ObservationRecord
from scheduler.curves.store import CurveStore, CurveUpdate, Report

log = logging.getLogger("thinkbudget")

SYNC_SECONDS = 0.5
SNAPSHOT_SECONDS = 30.0
SNAPSHOT_REPORTS = 2000


class DurableCurveStore:
    """`exchange` is all that a controller needs; without a path nothing is kept."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        wait_seconds: float = 0.0,
        feedback: Feedback | None = None,
        round_tokens: float = 0.0,
    ) -> None:
        self._path = path
        self._writer, self._labels = uuid.uuid4().hex, 0
        self.book = load(path) if path is not None and path.is_file() else CurveStore()
        self.book.round_tokens = round_tokens
        if feedback is not None:
            self.book.feedback = feedback
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._log = _locked(_log_of(path), wait_seconds)
        for report in _reports(_log_of(path)):
            self.book.take(report)
        self._synced = time.monotonic()
        self.snapshot()

    def exchange(self, report: Report, life: str, version: int) -> CurveUpdate:
        """Take a report in; what is given back confirms it."""
        if self._path is not None and self.book.lacks(report):
            self._write(report)
        self.book.take(report)
        if self._path is not None:
            self._sync()
        return self.book.edition(life, version)

    def label(self, label: Label) -> FeedbackResult:
        """Take a label in; what is learned of it goes through the log, as reports do."""
        verdict = self.book.feedback.judge(label)
        if verdict.seen is not None:
            self._labels += 1
            report = Report(self._writer, self._labels, [verdict.seen])
            if self._path is not None:
                self._write(report)
            self.book.take(report)
        return verdict

    def snapshot(self) -> None:
        """Everything into PATH; the log begins anew."""
        if self._path is None:
            return
        save(self.book, self._path)
        self._log.truncate(0)
        self._snapped, self._logged, self._unsynced = time.monotonic(), 0, False

    def close(self) -> None:
        if self._path is not None and not self._log.closed:
            self.snapshot()
            self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, report: Report) -> None:
        if not report.seen:
            return
        self._log.write(json.dumps(_line(report)).encode() + b"\n")
        self._logged += 1
        self._unsynced = True

    def _sync(self) -> None:
        now = time.monotonic()
        if self._unsynced and now - self._synced >= SYNC_SECONDS:
            os.fsync(self._log.fileno())
            self._synced, self._unsynced = now, False
        old = now - self._snapped >= SNAPSHOT_SECONDS
        if self._logged and (old or self._logged >= SNAPSHOT_REPORTS):
            self.snapshot()


def save(book: CurveStore, path: Path) -> None:
    """A snapshot, with the one before it gone only when the new one is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(book.as_dict(), file)
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


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + ".log")


def _locked(path: Path, wait_seconds: float) -> FileIO:
    """Unbuffered: what is written is with the system at once, and outlives this process."""
    file = FileIO(path, "a")
    until = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() >= until:
                file.close()
                raise ValueError(f"{path} is being written by another process") from None
        time.sleep(0.1)


def _reports(path: Path) -> Iterator[Report]:
    """What the log holds; a torn line, as a crash or a full disk leaves it, is skipped."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                stored = json.loads(line)
                seen = [_seen(one) for one in stored["seen"]]
                yield Report(stored["writer"], stored["number"], seen)
            except (ValueError, KeyError, TypeError) as error:
                log.warning("%s: a torn line is skipped: %s", path, error)


def _line(report: Report) -> dict[str, Any]:
    seen = [
        asdict(seen.observation)
        | {"model": seen.model, "price": seen.price, "answer": seen.answer, "reward": seen.reward}
        for seen in report.seen
    ]
    return {"writer": report.writer, "number": report.number, "seen": seen}


def _seen(stored: Mapping[str, Any]) -> ObservationRecord:
    observation = Observation(
        stored["query_class"],
        tuple(Vote(**vote) for vote in stored["history"]),
        Budget(**stored["budget"]),
        stored["temperature"],
        _plan(stored["plan"]),
        stored["right"],
        _trajectory(stored["trajectory"]),
        stored.get("chance"),
    )
    label = (stored.get("answer", ""), stored.get("reward"))
    return ObservationRecord(stored["model"], observation, stored["price"], *label)


def _trajectory(stored: Sequence[Any] | None) -> ProbeTrajectory | None:
    if stored is None:
        return None
    probes, *rest = stored
    return ProbeTrajectory(tuple(Probe(*probe) for probe in probes), *rest)


def _plan(stored: Mapping[str, Any] | None) -> Plan | None:
    """A forecast is not learned from, and not kept."""
    if stored is None:
        return None
    return Plan(**dict(stored) | {"budget": Budget(**stored["budget"]), "forecast": None})
