"""A PostgreSQL server of its own, in a temporary folder and on a free port, for a while."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.serving.servers import free_port

DEBIAN = Path("/usr/lib/postgresql")
NAME = "thinkbudget"


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; None where PostgreSQL is not installed."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).resolve().parent
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def missing() -> str | None:
    """Why no server can be started here; None where one can."""
    if programs() is None:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if os.geteuid() == 0 and "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return None


class PostgresServer:
    """A server that can be stopped and started again on its port, with its data."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        """`durable` is False for tests: data need not outlive a crash of the machine."""
        self._folder, self._port = folder, free_port()
        self._sync = "on" if durable else "off"
        self._run("initdb", "-U", NAME, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{NAME}@127.0.0.1:{self._port}/{database}"

    @property
    def pid(self) -> int:
        """The process that all of the server's processes are children of."""
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        # Commits are written before they are confirmed: they outlive a crash of the server.
        options = f"-p {self._port} -h 127.0.0.1 -k {self._folder} -c fsync={self._sync}"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-w", "-t", "300", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """At once, as a crash would."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def create(self, database: str) -> str:
        """An empty database, by its URL."""
        at = ["-h", "127.0.0.1", "-p", str(self._port), "-U", NAME]
        self._call("createdb", *at, database)
        return self.url(database)

    def _run(self, program: str, *arguments: str) -> None:
        self._call(program, "-D", str(self._folder / "data"), *arguments)

    def _call(self, program: str, *arguments: str) -> None:
        folder = programs()
        assert folder is not None
        subprocess.run(
            [folder / program, *arguments],
            check=True,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **_as_user(),
        )


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """A running server, gone with its data after the block. Raises RuntimeError: `missing`."""
    if (why := missing()) is not None:
        raise RuntimeError(why)
    folder = Path(tempfile.mkdtemp(prefix="thinkbudget-postgres-"))
    try:
        if user := _as_user():
            shutil.chown(folder, user["user"], user["group"])
        server = PostgresServer(folder, durable=durable)
        server.start()
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):  # a test has stopped it
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_user() -> dict[str, Any]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}
