"""Append-only files of JSON lines that survive a kill: on disk, or as parts in an object store."""

import os
import shutil
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Protocol

from scheduler.batch.storage import Location

SYNC_SECONDS = 5.0
PART_BYTES = 8 << 20


class Log(Protocol):
    """Lines are handed to the system as they come, and to the disk every few seconds."""

    def append(self, line: str) -> None:
        """Raises OSError where it cannot be kept; the line is then not in the file."""

    def lines(self) -> Iterator[bytes]:
        """Every whole line that was appended, in order."""

    def exists(self) -> bool: ...

    def close(self) -> None: ...

    def publish(self, to: Location) -> None:
        """Put all lines in place of a file at once; the log is then gone."""

    def remove(self) -> None: ...


def open_log(at: Location, *, after: Location | None = None) -> Log:
    """`after` is a file whose lines come first, once there is something to append."""
    return LocalLog(at, after) if at.store is None else PartsLog(at, after)


class LocalLog:
    def __init__(self, at: Location, after: Location | None = None) -> None:
        self._path = Path(at.path)
        self._after = Path(after.path) if after is not None else None
        self._file: FileIO | None = None
        self._synced = time.monotonic()

    def exists(self) -> bool:
        return self._path.exists()

    def append(self, line: str) -> None:
        file = self._file or self._open()
        data, begin = f"{line}\n".encode(), file.tell()
        try:
            while data:
                data = data[file.write(data) or 0 :]
        except OSError:
            file.truncate(begin)
            file.seek(begin)
            raise
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            os.fsync(file.fileno())
            self._synced = time.monotonic()

    def lines(self) -> Iterator[bytes]:
        path = self._path if self._path.exists() or self._after is None else self._after
        if path.exists():
            with path.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))

    def close(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def publish(self, to: Location) -> None:
        self.close()
        if self._path.exists():
            self._path.replace(to.path)
            _sync_folder(self._path.parent)
        elif not to.exists():
            to.write(b"")

    def remove(self) -> None:
        self.close()
        self._path.unlink(missing_ok=True)

    def _open(self) -> FileIO:
        if not self._path.exists() and self._after is not None and self._after.exists():
            copy = self._path.with_name(f".{self._path.name}.tmp")
            shutil.copyfile(self._after, copy)
            copy.replace(self._path)
        self._file = FileIO(self._path, "a+")
        _cut_torn_line(self._file)
        return self._file


class PartsLog:
    """In a store nothing can be appended: lines are kept as numbered objects of a few seconds."""

    def __init__(self, at: Location, after: Location | None = None) -> None:
        self._at, self._after, self._store = at, after, at.store
        self._lines: list[str] = []
        self._bytes = 0
        self._next: int | None = None
        self._written = time.monotonic()

    def exists(self) -> bool:
        return bool(self._lines or self._parts())

    def append(self, line: str) -> None:
        self._lines.append(line)
        self._bytes += len(line)
        is_due = time.monotonic() - self._written >= SYNC_SECONDS
        if is_due or self._bytes >= PART_BYTES:
            self._flush()

    def lines(self) -> Iterator[bytes]:
        if self._after is not None and self._after.exists():
            yield from self._of(self._after.path)
        for part in self._parts():
            yield from self._of(part)

    def close(self) -> None:
        if self._lines:
            self._flush()

    def publish(self, to: Location) -> None:
        self.close()
        if self._parts() or not to.exists():
            whole = to.beside(f".{to.name}.tmp")
            with self._store.open(whole.path, "wb") as file:
                for line in self.lines():
                    file.write(line)
            self._store.mv(whole.path, to.path)
        self.remove()

    def remove(self) -> None:
        for part in self._parts():
            self._store.rm_file(part)

    def _flush(self) -> None:
        if self._next is None:
            self._next = len(self._parts())
        data = "".join(f"{line}\n" for line in self._lines).encode()
        self._store.pipe_file(f"{self._at.path}-{self._next:06d}", data)
        self._next += 1
        self._lines, self._bytes, self._written = [], 0, time.monotonic()

    def _parts(self) -> list[str]:
        return sorted(str(part) for part in self._store.glob(f"{self._at.path}-[0-9]*"))

    def _of(self, path: str) -> Iterator[bytes]:
        with self._store.open(path, "rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))


def _cut_torn_line(file: FileIO) -> None:
    """A killed run may have left half a line at the end."""
    end = file.seek(0, os.SEEK_END)
    at = end
    while at > 0:
        begin = max(0, at - (1 << 16))
        file.seek(begin)
        found = file.read(at - begin).rfind(b"\n")
        if found >= 0:
            at = begin + found + 1
            break
        at = begin
    if at != end:
        file.truncate(at)
    file.seek(at)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
