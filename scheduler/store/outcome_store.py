"""The store: takes lines in, each once, in batches; knows what is wrong with a database.

Plain and blocking: whoever serves calls it from a thread (`sink.py`).
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

from sqlalchemy import URL, Connection, Engine, func, select
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from scheduler.store import rollups, schema
from scheduler.store.connect import file_of, make_engine, parse_url, require_local, shown
from scheduler.store.ingest import ingest
from scheduler.store.owner import OwnerLock
from scheduler.store.records import rows_of
from scheduler.store.tables import CURVE_SNAPSHOTS, DECISIONS, FEEDBACK, OUTCOMES, ROLLUPS

log = logging.getLogger("thinkbudget")


class StoreAway(ConnectionError):
    """The store cannot be reached, or cannot write now; trying again later may help."""


class Written(NamedTuple):
    """What came of a batch of lines: `known` were there before, `refused` can never be kept."""

    new: int
    known: int
    refused: int


class OutcomeStore:
    """A store that is open. For SQLite, the process that makes it owns the file until `close`.

    Raises StoreOwned, SchemaMismatch and ValueError for what an operator has to mend, StoreAway
    where the database is away. `reads` opens it only to read, beside an owner.
    """

    def __init__(self, url: str | URL, *, reads: bool = False) -> None:
        self.url = parse_url(url) if isinstance(url, str) else url
        self._reads, self._owner = reads, None
        self._lock = threading.Lock()
        if (path := file_of(self.url)) is not None:
            if reads and not path.is_file():
                raise ValueError(f"there is no store {str(path)!r}")
            if not reads:
                require_local(path)
                with _named(self.url):
                    self._owner = OwnerLock(path)
        self.engine: Engine = make_engine(self.url, reads=reads)
        try:
            with _named(self.url):
                if reads:
                    with self.engine.connect() as connection:
                        schema.require(connection, self.url)
                else:
                    schema.create(self.engine, self.url)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.engine.dispose()
        if self._owner is not None:
            self._owner.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection in one transaction. Raises StoreAway."""
        with self._lock, _named(self.url), self.engine.begin() as connection:
            yield connection

    def write(self, lines: list[bytes]) -> Written:
        """Take a batch of lines in, all or, where the store is away (StoreAway), none of them.

        A line that came before counts as known; one that can never be kept is logged and refused.
        """
        rows, wrong = rows_of(lines)
        for why in wrong:
            log.error("a line is not kept: %s", why)
        try:
            with self.transaction() as connection:
                new = ingest(connection, rows)
        except (DataError, IntegrityError) as error:
            if len(lines) > 1:
                half = len(lines) // 2
                parts = (self.write(lines[:half]), self.write(lines[half:]))
                return Written(*map(sum, zip(*parts, strict=True)))
            log.error("a line is not kept: %s: %r", error.orig, lines[0][:80])
            return Written(0, 0, 1)
        return Written(new, len(lines) - len(wrong) - new, len(wrong))

    def prune(self, *, days: float, rollup_days: float, now: float | None = None) -> int:
        """Delete outcomes older than so many days, and sums older than theirs: outcomes deleted.

        A clock that has jumped ahead deletes nothing that is new: the age is that of the newest.
        """
        day = 86_400.0
        with self.transaction() as connection:
            newest = connection.scalar(select(func.max(OUTCOMES.c.at)))
            if newest is None:
                return 0
            last = min(time.time() if now is None else now, newest)
            late = select(OUTCOMES.c.seq).where(OUTCOMES.c.at < last - days * day).limit(PRUNED)
            doomed = list(connection.scalars(late))
            connection.execute(DECISIONS.delete().where(DECISIONS.c.outcome.in_(doomed)))
            connection.execute(OUTCOMES.delete().where(OUTCOMES.c.seq.in_(doomed)))
            oldest = last - rollup_days * day
            before = rollups.day_of(oldest)
            connection.execute(ROLLUPS.delete().where(ROLLUPS.c.day < before))
            connection.execute(FEEDBACK.delete().where(FEEDBACK.c.at < oldest))
            connection.execute(CURVE_SNAPSHOTS.delete().where(CURVE_SNAPSHOTS.c.at < oldest))
        return len(doomed)


def migrate(url: str, revision: str | None = None) -> tuple[str | None, str | None]:
    """Bring a store to a schema, the newest unless one is named: what it was, and is.

    Raises as `OutcomeStore` does.
    """
    place = parse_url(url)
    path = file_of(place)
    with _named(place):
        owner = OwnerLock(path) if path is not None else None
        engine = make_engine(place)
        try:
            return schema.migrate(engine, place, revision)
        finally:
            engine.dispose()
            if owner is not None:
                owner.release()


def current(url: str) -> str | None:
    """The schema of a store; None for an empty one. Raises StoreAway."""
    place = parse_url(url)
    if (path := file_of(place)) is not None and not path.is_file():
        raise ValueError(f"there is no store {str(path)!r}")
    engine = make_engine(place, reads=True)
    try:
        with _named(place):
            return schema.current(engine)
    finally:
        engine.dispose()


# Outcomes that one transaction deletes: others do not wait long for it.
PRUNED = 5000


@contextmanager
def _named(url: URL) -> Iterator[None]:
    """Turn what a database may fail with, but for what is wrong with a row, into StoreAway."""
    try:
        yield
    except (DataError, IntegrityError):
        raise
    except (SQLAlchemyError, OSError) as error:
        why = getattr(error, "orig", None) or error
        raise StoreAway(f"{shown(url)}: {' '.join(str(why).split())}") from None
