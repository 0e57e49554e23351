"""Rows of a table: a column with the prompt, and others for its id, reference, class and value."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from scheduler.batch.inputs.row import Row, checked_id
from scheduler.errors import InvalidRequest
from scheduler.json_body import check_text


class Columns(NamedTuple):
    """Names of columns, the first of each that a row has. A row without an id is `row-NUMBER`."""

    prompt: tuple[str, ...] = ("prompt", "question", "problem")
    custom_id: tuple[str, ...] = ("custom_id", "id")
    reference: tuple[str, ...] = ("reference", "answer")
    query_class: tuple[str, ...] = ("class", "query_class")
    value: tuple[str, ...] = ("value",)

    def named(self, **names: str | None) -> "Columns":
        """The same with these columns only where a name is given."""
        return self._replace(**{part: (name,) for part, name in names.items() if name})


def has_prompt(record: Mapping[str, Any], columns: Columns) -> bool:
    return any(name in record for name in columns.prompt)


def read_record(record: Mapping[str, Any], columns: Columns, number: int) -> Row:
    """Raises InvalidRequest that names the column and the value."""
    column, prompt = _first(record, columns.prompt)
    if not isinstance(prompt, str) or not prompt.strip():
        raise _wrong(column or columns.prompt[0], "a text that is not empty", prompt)
    _, given = _first(record, columns.custom_id)
    custom_id = f"row-{number}" if given is None else given
    wishes: dict[str, Any] = {}
    column, reference = _first(record, columns.reference)
    if reference is not None:
        wishes["reference_answer"] = _text(column, reference)
    column, query_class = _first(record, columns.query_class)
    if query_class is not None:
        wishes["query_class"] = _text(column, query_class)
    column, value = _first(record, columns.value)
    if value is not None:
        wishes["value"] = _positive(column, value)
    body: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]}
    if wishes:
        body["thinkbudget"] = wishes
    check_text(body)
    is_number = isinstance(custom_id, int) and not isinstance(custom_id, bool)
    return Row(number, checked_id(str(custom_id) if is_number else custom_id), body)


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, Any]:
    """The first of the columns that has something in this row."""
    for name in names:
        value = record.get(name)
        if value is not None and value != "":
            return name, value
    return next((name for name in names if name in record), ""), None


def _text(column: str, value: object) -> str:
    if isinstance(value, str):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(float(str(value))):
        raise _wrong(column, "a text or a finite number", value)
    return str(value)


def _positive(column: str, value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not 0 < number < math.inf:
        raise _wrong(column, "a positive number", value)
    return number


def _wrong(column: str, what: str, value: object) -> InvalidRequest:
    return InvalidRequest(f"{column} must be {what}, got {str(value)[:80]!r}", field=column)
