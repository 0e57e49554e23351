"""Who owns a SQLite store: the one process that writes the file, by a lock beside it.

    PATH.owner   locked while the owner lives; holds its process and machine

Two connections that write or checkpoint one file at the same time can corrupt it in SQLite before
3.51.3 (the WAL-reset bug). Others read: a connection that only reads does neither.
"""

import fcntl
import os
import socket
from pathlib import Path


class StoreOwned(ValueError):
    """Another process owns the file; the message names it."""


class OwnerLock:
    """Held from its making until `release`, or the end of the process, however it ends.

    Raises StoreOwned naming the holder, and OSError where the lock's file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(_lock_of(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise StoreOwned(_owned(path)) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _owned(path: Path) -> str:
    try:
        holder = _lock_of(path).read_text(encoding="utf-8")
    except OSError:
        holder = ""
    return (
        f"store {str(path)!r} is owned by another process ({holder or 'unknown'}): a SQLite file "
        "has one writer; stop that one, or use PostgreSQL"
    )


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".owner")
