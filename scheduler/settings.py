"""Reads settings: pydantic checks them, and an error names the place and the value."""

import difflib
import json
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Discriminator, Tag, TypeAdapter, ValidationError

T = TypeVar("T")

# For dataclasses of settings: no unknown keys, and no text where a number is meant.
STRICT = ConfigDict(extra="forbid", strict=True)

# For settings that are one value or a table: `Annotated[Value[str] | Table[Kind], VALUE_OR_TABLE]`.
# A tag in <> is no part of a place, either.
Value = Annotated[T, Tag("value")]
Table = Annotated[T, Tag("table")]
_BRANCHES = ("value", "table")
VALUE_OR_TABLE = Discriminator(
    lambda given: "value" if given is None or isinstance(given, str | int | float) else "table"
)


def read_table(path: Path) -> dict[str, Any]:
    """The table of a TOML file. Raises ValueError that names the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None


def read_toml(path: Path, kind: Callable[..., T]) -> T:
    """Settings of the given kind from a TOML file. Raises ValueError that names the file."""
    table = read_table(path)
    try:
        return from_table(kind, table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def from_table(kind: Callable[..., T], table: dict[str, Any]) -> T:
    """Settings of the given kind. Raises ValueError that names the place and the value."""
    try:
        settings: T = _adapter(kind).validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        raise ValueError(_message(kind, error)) from None
    return settings


def json_schema(kind: Any) -> dict[str, Any]:
    """The JSON schema of settings of a kind."""
    return _adapter(kind).json_schema()


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _message(kind: Any, error: ValidationError) -> str:
    errors = error.errors(include_url=False)
    # A key in the wrong spelling is missing, too: the spelling is what to mend.
    first = min(errors, key=lambda each: each["type"] != "unexpected_keyword_argument")
    path = [
        str(part)
        for part in first["loc"]
        if part not in _BRANCHES and not str(part).startswith("<")
    ]
    place = ".".join(path)
    match first["type"]:
        case "unexpected_keyword_argument":
            near = difflib.get_close_matches(path[-1], _known(kind, path[:-1]), n=1, cutoff=0.0)
            advice = f"did you mean {near[0]!r}?" if near else "remove it"
            return f"{place} is not a known key; {advice}"
        case "missing":
            return f"{place} is missing"
        case "value_error":
            return f"{place}{'.' if place else ''}{first['ctx']['error']}"
    why = first["msg"].replace("Input should be", "must be").replace("less than", "below")
    return f"{place} {why}, got {first['input']!r}"


def _known(kind: Any, path: list[str]) -> list[str]:
    """The keys of the table at a path, read from the JSON schema of the settings."""
    schema = json_schema(kind)
    tables = _tables(schema, schema)
    for key in path:
        tables = [
            inner
            for table in tables
            if (child := table.get("properties", {}).get(key, table.get("additionalProperties")))
            for inner in _tables(child, schema)
        ]
    return [name for table in tables for name in table.get("properties", {})]


def _tables(node: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A node of a JSON schema, references followed and choices spread."""
    if "$ref" in node:
        return _tables(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    choices = node.get("anyOf") or node.get("oneOf")
    if choices:
        return [table for choice in choices for table in _tables(choice, schema)]
    return [node]
