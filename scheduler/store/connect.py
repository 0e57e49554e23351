"""From a store's URL to connections: SQLite or PostgreSQL, and what each needs.

SQLite has one connection that writes. Reading ones open the file read-only.
"""

import importlib.util
from pathlib import Path
from typing import Any, Final

import psutil
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool, StaticPool

CONNECT_SECONDS: Final = 5
BUSY_SECONDS: Final = 5.0
# Locks of files do not hold, or not reliably, over these.
NETWORK_FILESYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "lustre", "gpfs", "ceph", "glusterfs",
     "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.juicefs"}
)  # fmt: skip


def parse_url(text: str) -> URL:
    """The URL of a store; a path is a SQLite file.

    Raises ValueError naming what is wrong, without any password.
    """
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).absolute()))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(f"store url {_scheme(text)}://... cannot be read") from None
    kind = url.get_backend_name()
    if kind == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ValueError("store url must name a file, such as sqlite:///outcomes.db")
        return url.set(drivername="sqlite", database=str(Path(url.database).absolute()))
    if kind in ("postgresql", "postgres"):
        if importlib.util.find_spec("psycopg") is None:
            raise ValueError("PostgreSQL needs psycopg: pip install 'thinkbudget[postgres]'")
        return url.set(drivername="postgresql+psycopg")
    raise ValueError(f"store url must begin with sqlite:// or postgresql://, got {kind!r}")


def shown(url: URL) -> str:
    """The URL as messages name it, without its password."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def file_of(url: URL) -> Path | None:
    """The file of a SQLite store; None for PostgreSQL."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def require_local(path: Path) -> None:
    """Raise ValueError where a file is on a network filesystem, whose locks may not hold."""
    kind = filesystem_of(path)
    if kind in NETWORK_FILESYSTEMS:
        raise ValueError(
            f"store {str(path)!r} is on a network filesystem ({kind}), where SQLite may be "
            "corrupted: name a file on a local disk, or use PostgreSQL"
        )


def filesystem_of(path: Path) -> str:
    """The kind of the filesystem that a path is on, or will be; "" where it is not known."""
    place = path.absolute()
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[str(at)] for at in (place, *place.parents) if str(at) in mounts), "")


def make_engine(url: URL, *, reads: bool = False) -> Engine:
    """Connections to a store. `reads` opens a SQLite file read-only; nothing is opened yet."""
    path = file_of(url)
    if path is None:
        return create_engine(
            url,
            pool_size=2,
            max_overflow=2,
            pool_pre_ping=True,
            pool_timeout=CONNECT_SECONDS,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "application_name": "thinkbudget",
                "options": "-c lock_timeout=30s -c statement_timeout=600s",
            },
        )
    mode = "ro" if reads else "rwc"
    engine = create_engine(
        f"sqlite:///file:{_escaped(path)}?mode={mode}&uri=true",
        # The one writing connection is used by one thread after another.
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS},
        poolclass=NullPool if reads else StaticPool,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        # The driver would begin and commit by itself: we say when.
        connection.isolation_level = None
        if not reads:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _scheme(text: str) -> str:
    return text.partition("://")[0][:20]


def _escaped(path: Path) -> str:
    """A path in SQLite's own form of a URI."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
