"""The queue before the store: lines in files, so that neither a kill nor a store that is away
loses any.

    FOLDER/WRITER-1.jsonl, WRITER-2.jsonl, ...   parts, locked by the process that writes them

A line is with the system when `append` returns. Lines leave in their order, and a part is deleted
when the store has all of it. Parts that nobody locks are those of a process that has died: another
one takes them over, and sends them anew, which is why the store has to know what it has.
"""

import fcntl
import logging
import os
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

log = logging.getLogger("thinkbudget")

MIB: Final = 2**20
PART_BYTES: Final = 8 * MIB


class SpoolFull(Exception):
    """The spool is at its cap."""


class SpoolBatch(NamedTuple):
    """Lines from one part, and where in it they end."""

    lines: list[bytes]
    part: "_Part"
    end: int


@dataclass(slots=True, eq=False)
class _Part:
    """A file: `size` bytes of whole lines, `sent` of them in the store."""

    path: Path
    file: int
    size: int
    sent: int = 0


class Spool:
    """The queue of one process. `append` may be called while another thread takes batches."""

    def __init__(self, folder: Path, *, mib: float, part_bytes: int = PART_BYTES) -> None:
        self._folder, self._most, self._part_bytes = folder, int(mib * MIB), part_bytes
        self._writer, self._number = uuid.uuid4().hex[:12], 0
        self._parts: deque[_Part] = deque()
        self._current: _Part | None = None
        self._lock = threading.Lock()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the store does not have yet."""
        return sum(part.size - part.sent for part in self._all())

    def append(self, line: bytes) -> None:
        """Add a line that ends with a newline. Raises SpoolFull, and OSError where the disk is."""
        with self._lock:
            if self._occupied() + len(line) > self._most:
                raise SpoolFull(f"{self._folder} has {self._most / MIB:g} MiB, which is its cap")
            part = self._writable(len(line))
            try:
                rest = line
                while rest:
                    rest = rest[os.write(part.file, rest) :]
            except OSError:
                # A torn line in the middle would join the next one.
                os.ftruncate(part.file, part.size)
                raise
            part.size += len(line)

    def take(self, *, most_lines: int, most_bytes: int) -> SpoolBatch | None:
        """The oldest lines that the store does not have, whole ones; None where it has all."""
        with self._lock:
            part = next((part for part in self._all() if part.sent < part.size), None)
            if part is None:
                return None
            start, end = part.sent, part.size
        block = os.pread(part.file, min(end - start, most_bytes), start)
        if b"\n" not in block:  # one line that is longer than a batch
            block = os.pread(part.file, end - start, start)
            block = block[: block.index(b"\n") + 1]
        lines = [line + b"\n" for line in block.split(b"\n")[:-1][:most_lines]]
        return SpoolBatch(lines, part, start + sum(map(len, lines)))

    def done(self, batch: SpoolBatch) -> None:
        """The store has these lines."""
        with self._lock:
            part = batch.part
            part.sent = batch.end
            if part.sent < part.size:
                return
            if part is not self._current:
                self._parts.remove(part)
                _delete(part)
            elif part.size > self._part_bytes // 8:
                os.ftruncate(part.file, 0)
                part.size = part.sent = 0

    def tidy(self) -> None:
        """Leave no file if the store has all."""
        with self._lock:
            if self._current is not None and self._current.sent == self._current.size:
                _delete(self._current)
                self._current = None

    def adopt(self) -> int:
        """Take over the parts of processes that are gone; how many bytes they have."""
        with self._lock:
            ours = {part.path for part in self._all()}
            found = 0
            for path in sorted(self._folder.glob("*.jsonl")):
                if path not in ours and (part := _adopted(path)) is not None:
                    self._parts.appendleft(part)
                    found += part.size
            return found

    def close(self) -> None:
        """Leave what the store does not have yet to the next process."""
        with self._lock:
            for part in self._all():
                if part.sent == part.size:
                    _delete(part)
                else:
                    os.close(part.file)
            self._parts.clear()
            self._current = None

    def _all(self) -> Iterator[_Part]:
        yield from self._parts
        if self._current is not None:
            yield self._current

    def _occupied(self) -> int:
        return sum(part.size for part in self._all())

    def _writable(self, needed: int) -> _Part:
        current = self._current
        if current is not None and current.size and current.size + needed > self._part_bytes:
            self._parts.append(current)
            current = None
        if current is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._number += 1
            path = self._folder / f"{self._writer}-{self._number}.jsonl"
            # It gets its name when it is locked: another process would take it over.
            new = path.with_suffix(".new")
            file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            new.replace(path)
            current = self._current = _Part(path, file, 0)
        return current


def _adopted(path: Path) -> _Part | None:
    """A part that nobody locks, with its whole lines; None for one that is in use, or gone."""
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = os.fstat(file).st_size
        if os.fstat(file).st_nlink == 0:
            raise BlockingIOError  # another process has sent and deleted it meanwhile
    except BlockingIOError:
        os.close(file)
        return None
    tail = _torn(file, size)
    if tail:
        log.warning("%s: a torn last line of %d bytes is left out", path, tail)
    part = _Part(path, file, size - tail)
    if not part.size:
        _delete(part)
        return None
    return part


def _torn(file: int, size: int) -> int:
    """Bytes after the last newline, as a crash of the machine can leave them."""
    at = size
    while at > 0:
        start = max(0, at - MIB)
        place = os.pread(file, at - start, start).rfind(b"\n")
        if place >= 0:
            return size - (start + place + 1)
        at = start
    return size


def _delete(part: _Part) -> None:
    part.path.unlink(missing_ok=True)
    os.close(part.file)
