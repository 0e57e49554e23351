"""A whole store into another one, or into Parquet files; and what is wrong with one.

The copy is of one moment, whatever is written meanwhile. It is how a store is backed up, brought
back, and moved from SQLite to PostgreSQL.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Table, func, select, text

from scheduler.progress import Progress
from scheduler.store import rollups
from scheduler.store.insert import insert_all
from scheduler.store.outcome_store import OutcomeStore
from scheduler.store.tables import METADATA, OUTCOMES

PAGE: Final = 2000
TABLES: Final = tuple(METADATA.sorted_tables)


def count_rows(store: OutcomeStore) -> dict[str, int]:
    """Rows by table."""
    with store.transaction() as connection:
        return {table.name: _count(connection, table) for table in TABLES}


def copy(source: OutcomeStore, target: OutcomeStore, progress: Progress) -> dict[str, int]:
    """Every row of a store into an empty one, or none: rows by table."""
    copied = {}
    with source.transaction() as reads, target.transaction() as writes:
        _at_one_moment(reads)
        if any(_count(writes, table) for table in TABLES):
            raise ValueError("the store to copy to is not empty")
        for table in TABLES:
            copied[table.name] = 0
            for rows in _pages(reads, table):
                insert_all(writes, table, rows)
                copied[table.name] += len(rows)
                for _ in rows:
                    progress.advance(table.name)
        if writes.dialect.name == "postgresql":
            last = select(func.coalesce(func.max(OUTCOMES.c.seq), 0) + 1).scalar_subquery()
            writes.execute(
                select(func.setval(func.pg_get_serial_sequence("outcomes", "seq"), last, False))
            )
    return copied


def export(source: OutcomeStore, folder: Path, progress: Progress) -> list[Path]:
    """Every table as FOLDER/TABLE.parquet; none is left half written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with source.transaction() as connection:
        _at_one_moment(connection)
        for table in TABLES:
            kinds = pa.schema([(c.name, _arrow(c.type.python_type, pa)) for c in table.columns])
            path = folder / f"{table.name}.parquet"
            partial = path.with_suffix(".partial")
            with pq.ParquetWriter(partial, kinds, compression="zstd") as writer:
                for rows in _pages(connection, table):
                    writer.write_table(pa.Table.from_pylist(rows, schema=kinds))
                    for _ in rows:
                        progress.advance(table.name)
            written.append((partial, path))
    for partial, path in written:
        partial.replace(path)
    return [path for _, path in written]


def problems(store: OutcomeStore) -> list[str]:
    """What is wrong with a store; empty where nothing is."""
    found = []
    with store.transaction() as connection:
        if connection.dialect.name == "sqlite":
            checked = connection.scalars(text("PRAGMA quick_check(10)"))
            found += [f"the file is damaged: {line}" for line in checked if line != "ok"]
        found += rollups.differences(connection)
    return found


def _at_one_moment(connection: Connection) -> None:
    """PostgreSQL would show each query what is committed by then."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _pages(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    found = select(table).order_by(*table.primary_key).execution_options(yield_per=PAGE)
    for page in connection.execute(found).mappings().partitions():
        yield [dict(row) for row in page]


def _arrow(kind: type, pa: Any) -> Any:
    return {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}[kind]
