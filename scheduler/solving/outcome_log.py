"""The log of answered queries: one line each, in a file that is set aside when it is large.

PATH is written, PATH.1 is the newest of those set aside. Several processes may write: each sees
when another one has set the file aside, and goes on in the new one.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

MIB = 2**20
LABELS = ".labels"
"""What the log of later labels has at the end of its name, beside that of the outcomes: one line a
label, of `id`, `reward` and `time`.
"""


class OutcomeLog:
    """Appends whole lines to a file of at most `mib` MiB, and keeps `files` older ones.

    A line longer than that has a file of its own. `mib` of None: the file grows without bound.
    """

    def __init__(self, path: Path, *, mib: float | None = None, files: int = 10) -> None:
        self._path, self._files = path, files
        self._most = None if mib is None else int(mib * MIB)
        self._file = self._open()

    def write(self, line: str) -> None:
        """Append a line, its newline included, which is with the system at once."""
        data = line.encode()
        if self._most is not None and self._size() + len(data) > self._most:
            self._set_aside(len(data), self._most)
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _size(self) -> int:
        """Bytes of the file at the path, opened anew where another process has set it aside."""
        ours = os.fstat(self._file)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            self.close()
            self._file = self._open()
        return os.fstat(self._file).st_size

    def _set_aside(self, needed: int, most: int) -> None:
        lock = os.open(self._named("lock"), os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            size = self._size()  # another process may have been first
            if size and size + needed > most:
                for number in range(self._files, 1, -1):
                    with suppress(FileNotFoundError):
                        self._named(number - 1).replace(self._named(number))
                if self._files:
                    self._path.replace(self._named(1))
                else:
                    self._path.unlink()
                self._size()
        finally:
            os.close(lock)

    def _named(self, suffix: int | str) -> Path:
        return self._path.with_name(f"{self._path.name}.{suffix}")
