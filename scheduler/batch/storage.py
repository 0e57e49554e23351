"""Where the files of a job are: on this machine, or in an object store through fsspec.

A location may be confined to roots. Local paths are compared once every symbolic link in them is
followed, so neither `..` nor a link leads out.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote

SCHEMES = ("file", "s3", "gs", "gcs", "az", "abfs", "memory")
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Location:
    """A file. `path` is absolute on this machine; in a store it is the store's own name for it."""

    uri: str
    path: str
    #: None: a file of this machine.
    store: Any = None

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    def beside(self, name: str) -> "Location":
        """Another file in the same folder."""
        uri = self.uri[: len(self.uri) - len(self.name)] + name
        return Location(uri, self.path[: len(self.path) - len(self.name)] + name, self.store)

    def open(self) -> IO[bytes]:
        """Raises OSError where it cannot be read."""
        if self.store is None:
            return Path(self.path).open("rb")
        return cast(IO[bytes], self.store.open(self.path, "rb"))

    def exists(self) -> bool:
        if self.store is None:
            return Path(self.path).exists()
        return bool(self.store.exists(self.path))

    def size(self) -> int:
        if self.store is None:
            return Path(self.path).stat().st_size
        return int(self.store.size(self.path))

    def write(self, data: bytes) -> None:
        """All at once: a reader sees the old file or the new one, never a part."""
        if self.store is not None:
            self.store.pipe_file(self.path, data)
            return
        path = Path(self.path)
        beside = path.with_name(f".{path.name}.tmp")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def remove(self) -> None:
        """It need not exist."""
        if self.store is None:
            Path(self.path).unlink(missing_ok=True)
        elif self.store.exists(self.path):
            self.store.rm_file(self.path)

    def __str__(self) -> str:
        return self.uri


def locate(uri: str, roots: Sequence[str] = ()) -> Location:
    """The file at a path or URI. Raises ValueError for a scheme that is not read, or outside roots.

    Without roots every local path and every store is allowed.
    """
    found = _locate(uri)
    if roots and not any(_is_within(found, _locate(root)) for root in roots):
        raise ValueError(f"{uri} is outside of {', '.join(roots)}")
    return found


def _locate(uri: str) -> Location:
    if not uri or "\0" in uri:
        raise ValueError(f"{uri!r} is no path of a file")
    scheme = _SCHEME.match(uri)
    if scheme is None or scheme[1].lower() == "file":
        path = unquote(uri[7:]) if scheme else uri
        return Location(uri, os.path.realpath(path))
    name = scheme[1].lower()
    if name not in SCHEMES or "::" in uri:
        raise ValueError(f"{uri}: {name}:// is not read; use a path or {', '.join(SCHEMES)}")
    if ".." in unquote(uri).split("/"):
        raise ValueError(f"{uri}: a URI must not go up with '..'")
    import fsspec

    try:
        store, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise ValueError(f"{uri}: install {PACKAGES.get(name, name)} to reach it") from error
    return Location(uri, str(path), store)


def _is_within(found: Location, root: Location) -> bool:
    if (found.store is None) != (root.store is None):
        return False
    if found.store is not None and found.store.protocol != root.store.protocol:
        return False
    return found.path == root.path or found.path.startswith(root.path.rstrip("/") + "/")
