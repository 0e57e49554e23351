"""Rows into a table, each key once: the one place where SQLite and PostgreSQL differ in writing."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Table, Text, bindparam, cast, column, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

# SQLite takes so many values in one statement, and more since 3.32.
MOST_KEYS = 500


def insert_new(
    connection: Connection, table: Table, key: str, rows: list[dict[str, Any]]
) -> set[str]:
    """Insert the rows whose key is not there yet; their keys. The first of equal keys counts."""
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row[key], row)
    if not first:
        return set()
    if connection.dialect.name == "sqlite":
        # Nobody else writes: what is not there now is not there at the commit.
        known = _known(connection, table, key, [*first])
        new = [row for name, row in first.items() if name not in known]
        insert_all(connection, table, new)
        return {row[key] for row in new}
    statement, values = _from_json(table, [*first.values()])
    found = statement.on_conflict_do_nothing(index_elements=[key]).returning(table.columns[key])
    return set(connection.scalars(found, values))


def insert_all(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows of which none is there."""
    if rows and connection.dialect.name == "sqlite":
        # Past SQLAlchemy's handling of every value, which takes as long as SQLite does.
        made = insert(table).compile(dialect=connection.dialect, column_keys=[*rows[0]])
        names = made.positiontup or []
        connection.exec_driver_sql(str(made), [tuple(row[name] for name in names) for row in rows])
    elif rows:
        connection.execute(*_from_json(table, rows))


def upsert(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, adds: bool = False
) -> None:
    """Insert rows, or update those whose primary key is there: replaced, or added to it."""
    if not rows:
        return
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = make(table)
    keys = [column.name for column in table.primary_key]
    values = {
        column.name: column + statement.excluded[column.name]
        if adds
        else statement.excluded[column.name]
        for column in table.columns
        if column.name not in keys
    }
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=values), list(rows)
    )


def _known(connection: Connection, table: Table, key: str, keys: list[str]) -> set[str]:
    column, found = table.columns[key], set()
    for part in parts(keys):
        found |= set(connection.scalars(select(column).where(column.in_(part))))
    return found


def parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys, as many at a time as one statement may ask for."""
    return (keys[at : at + MOST_KEYS] for at in range(0, len(keys), MOST_KEYS))


def _from_json(
    table: Table, rows: list[dict[str, Any]]
) -> tuple[postgresql.Insert, dict[str, str]]:
    """All rows as one JSON value: neither the driver nor the server handles value by value."""
    names = [*rows[0]]
    source = (
        func.json_to_recordset(cast(bindparam("rows", type_=Text), postgresql.JSON))
        .table_valued(*(column(name, table.columns[name].type) for name in names))
        .render_derived(with_types=True)
    )
    statement = postgresql.insert(table).from_select(
        names, select(*(source.columns[name] for name in names))
    )
    return statement, {"rows": json.dumps(rows)}
