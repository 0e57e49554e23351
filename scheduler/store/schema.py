"""The schema of a store, by Alembic: which one it has, and the way to another one.

A store that is newer than this program is refused; one that is older is refused with the command
that brings it up. An empty one is made.
"""

import io
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import URL, Connection, Engine, text

from scheduler.store.connect import shown

# Any number that nobody else locks in the same database.
MIGRATION_LOCK: Final = 7_416_231_021


class SchemaMismatch(ValueError):
    """The store's schema is not the one that this program works with."""


def head() -> str:
    """The newest schema that this program knows."""
    revision = _scripts().get_current_head()
    assert revision is not None
    return revision


def current(engine: Engine) -> str | None:
    """The schema of a store; None for an empty one."""
    with engine.connect() as connection:
        return _revision(connection)


def require(connection: Connection, url: URL) -> None:
    """Raise SchemaMismatch unless the store has the newest schema."""
    if (found := _revision(connection)) != head():
        raise SchemaMismatch(_mismatch(found, url))


def create(engine: Engine, url: URL) -> None:
    """Make the tables of an empty store. Raises SchemaMismatch for one with another schema."""
    with engine.begin() as connection:
        if _revision(connection) is None:
            _lock(connection)
            if _revision(connection) is None:
                _run(connection, head())
        require(connection, url)


def migrate(engine: Engine, url: URL, revision: str | None = None) -> tuple[str | None, str | None]:
    """Bring a store to a schema, the newest unless one is named: what it was, and is.

    All or nothing. Raises SchemaMismatch for a store newer than this program, ValueError for a
    schema that it does not know.
    """
    with engine.begin() as connection:
        _lock(connection)
        before = _revision(connection)
        if before is not None and before not in _known():
            raise SchemaMismatch(_mismatch(before, url))
        _run(connection, head() if revision is None else revision)
        return before, _revision(connection)


def _run(connection: Connection, wanted: str) -> None:
    order, before = _known(), _revision(connection)
    if wanted != "base" and wanted not in order:
        raise ValueError(f"there is no schema {wanted!r}; there are base, {', '.join(order)}")
    place = 0 if wanted == "base" else order.index(wanted) + 1
    goes_up = place >= (0 if before is None else order.index(before) + 1)
    config = _config()
    config.attributes["connection"] = connection
    try:
        (command.upgrade if goes_up else command.downgrade)(config, wanted)
    except CommandError as error:
        raise ValueError(f"schema {wanted!r}: {error}") from None


def _mismatch(found: str | None, url: URL) -> str:
    store = shown(url)
    if found is None:
        return f"{store} is empty: make it by: thinkbudget db upgrade --store {store}"
    if found in _known():
        return (
            f"{store} has schema {found}, and this program needs {head()}: bring it up by: "
            f"thinkbudget db upgrade --store {store}"
        )
    return (
        f"{store} has schema {found}, which is newer than this program's {head()}: "
        "install the thinkbudget that wrote it"
    )


def _known() -> list[str]:
    """Every schema, the oldest first."""
    return [script.revision for script in _scripts().walk_revisions()][::-1]


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _lock(connection: Connection) -> None:
    """Many gateways may start on one empty database at once."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))


def _config() -> Config:
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", "scheduler.store:migrations")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
