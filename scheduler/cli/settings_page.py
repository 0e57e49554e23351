"""Writes docs/settings.md: `python -m scheduler.cli.settings_page > docs/settings.md`."""

from typing import Any

from scheduler.config import ServeConfig
from scheduler.experiments.settings import ExperimentConfig
from scheduler.settings import json_schema

PAGES = {
    "Servers": (
        ServeConfig,
        "`thinkbudget serve --config FILE` reads these from TOML. A flag beside it wins.",
    ),
    "Experiments": (ExperimentConfig, "`thinkbudget experiment run FILE` reads these from TOML."),
}


def page() -> str:
    """Every setting: its key, its type and bounds, its default and what it does."""
    parts = ["# Settings\n\nThis page is written by `python -m scheduler.cli.settings_page`.\n"]
    written: set[str] = set()
    for title, (kind, about) in PAGES.items():
        schema = json_schema(kind)
        tables = {kind.__name__: schema, **schema.get("$defs", {})}
        parts.append(f"## {title}\n\n{about}\n\n{rows(schema)}")
        for name in [each for each in _order(schema, tables) if each not in written]:
            written.add(name)
            parts.append(f"### {name}\n\n{tables[name].get('description', '').strip()}\n\n"
                         f"{rows(tables[name])}")  # fmt: skip
    return "\n".join(parts)


def _order(table: dict[str, Any], tables: dict[str, Any]) -> list[str]:
    """The tables under a table, each before those under it."""
    found: list[str] = []
    for field in table.get("properties", {}).values():
        for name in _references(field):
            found += [name, *_order(tables[name], tables)]
    return list(dict.fromkeys(found))


def _references(field: dict[str, Any]) -> list[str]:
    if "$ref" in field:
        return [field["$ref"].rpartition("/")[2]]
    inner = [*field.get("anyOf", []), *field.get("oneOf", [])]
    inner += [
        field[part]
        for part in ("additionalProperties", "items")
        if isinstance(field.get(part), dict)
    ]
    return [name for each in inner for name in _references(each)]


def rows(table: dict[str, Any]) -> str:
    """The keys of one table of a JSON schema, as a table of Markdown."""
    lines = ["| Key | Value | Default | What it does |", "|---|---|---|---|"]
    for key, field in table.get("properties", {}).items():
        default = _default(field) if key not in table.get("required", []) else "required"
        about = field.get("description", "")
        lines.append(f"| `{key}` | {_value(field)} | {default} | {about} |")
    return "\n".join(lines) + "\n"


def _value(field: dict[str, Any]) -> str:
    """A type and its bounds, such as "integer, 1 to 65535"."""
    choices = field.get("anyOf") or field.get("oneOf")
    if choices:
        kinds = [_value(each) for each in choices if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in field:
        return ", ".join(f"`{each}`" for each in field["enum"])
    if isinstance(field.get("additionalProperties"), dict):
        return f"table of {_value(field['additionalProperties'])}"
    if field.get("type") == "array":
        return f"list of {_value(field['items'])}" if "items" in field else "list"
    kind = {"object": "table", "string": "text"}.get(field.get("type", ""), field.get("type", ""))
    return f"{kind}{_bounds(field)}"


def _bounds(field: dict[str, Any]) -> str:
    low = field.get("minimum", field.get("exclusiveMinimum"))
    high = field.get("maximum", field.get("exclusiveMaximum"))
    if low is None and high is None:
        return ""
    above = (
        ""
        if low is None
        else f"{'above' if 'exclusiveMinimum' in field else 'from'} {_number(low)}"
    )
    below = (
        ""
        if high is None
        else f"{'below' if 'exclusiveMaximum' in field else 'to'} {_number(high)}"
    )
    return ", " + " ".join(part for part in (above, below) if part)


def _number(value: float) -> str:
    return f"{int(value)}" if value == int(value) else f"{value}"


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    return "" if default is None or isinstance(default, dict) else f"`{default}`"


if __name__ == "__main__":
    print(page(), end="")
