"""The columns of a curated question, and the key that names it."""

import hashlib
from typing import Any

import pyarrow as pa

# In the order in which stages add them.
COLUMNS: dict[str, pa.DataType] = {
    # load
    "key": pa.string(),
    "question": pa.string(),
    "solution": pa.string(),
    "source": pa.string(),
    "source_type": pa.string(),
    "cot_type": pa.string(),
    "metadata": pa.string(),
    # traces
    "thinking": pa.string(),
    "attempt": pa.string(),
    # quality
    "thinking_tokens": pa.int64(),
    # classify
    "domain": pa.string(),
    # difficulty
    "trace_correct": pa.bool_(),
    "solved_by": pa.list_(pa.string()),
}
DROPPED = "dropped"
"""A stage's own column: why a row goes no further, or null."""


def question_key(question: str) -> str:
    """The first 16 hex digits of the question's SHA-256 (s1's data code)."""
    return hashlib.sha256(question.encode()).hexdigest()[:16]


def typed(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table; the columns are those of the first row, with the types of COLUMNS."""
    names = rows[0] if rows else {}
    kinds = {**COLUMNS, DROPPED: pa.string()}
    return pa.table(
        {name: pa.array([row[name] for row in rows], kinds[name]) for name in names},
    )


def with_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    """The table with a column of COLUMNS or `dropped` added or replaced."""
    kind = COLUMNS.get(name, pa.string())
    array = pa.array(values, kind)
    at = table.schema.get_field_index(name)
    return table.append_column(name, array) if at < 0 else table.set_column(at, name, array)
