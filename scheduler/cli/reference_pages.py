"""Writes docs/reference/: `python -m scheduler.cli.reference_pages`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from scheduler.api.openapi import BODIES
from scheduler.cli.python_page import python_page
from scheduler.cli.settings_page import rows
from scheduler.solving.metrics import Metrics

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
WRITTEN = "This page is written by `python -m scheduler.cli.reference_pages`.\n"


def pages(program: click.Group) -> dict[str, str]:
    """Every page by the name of its file."""
    return {
        "commands.md": commands_page(program),
        "request-fields.md": request_fields_page(),
        "metrics.md": metrics_page(),
        "python.md": python_page(WRITTEN),
    }


def commands_page(program: click.Group) -> str:
    """Every command with its arguments and options."""
    parts = [f"# Commands\n\n{WRITTEN}"]
    for name, command in _commands(program, "thinkbudget"):
        parts.append(f"## {name}\n\n{_paragraphs(command.help)}\n")
        arguments = [_metavar(one) for one in command.params if isinstance(one, click.Argument)]
        parts.append(f"```text\n{' '.join([name, '[OPTIONS]', *arguments])}\n```\n")
        options = [one for one in command.params if isinstance(one, click.Option)]
        if options:
            parts.append("| Option | Default | What it does |\n|---|---|---|")
            parts.append("\n".join(_option(one) for one in options) + "\n")
    return "\n".join(parts)


def request_fields_page() -> str:
    """The body of every route, field by field."""
    parts = [
        f"# Request fields\n\n{WRITTEN}\nWhat the fields of thinkbudget mean: "
        "[requests](../requests.md). Fields that are not here have no effect, or are refused.\n"
    ]
    written: set[str] = set()
    for route, shape in BODIES.items():
        schema = shape.model_json_schema()
        if shape.__name__ in written:
            parts.append(f"## POST {route}\n\nThe same fields as `{shape.__name__}` above.\n")
            continue
        parts.append(f"## POST {route}\n\n`{shape.__name__}`\n\n{_fields(schema)}")
        written.add(shape.__name__)
        for name, table in schema.get("$defs", {}).items():
            if name not in written and "properties" in table:
                written.add(name)
                parts.append(f"### {name}\n\n{_fields(table)}")
    return "\n".join(parts)


def _fields(table: dict[str, Any]) -> str:
    """Without the column of what they do, where the code says nothing of it."""
    lines = rows(table).splitlines()
    said = any("description" in field for field in table.get("properties", {}).values())
    return "\n".join(lines if said else [line.rsplit("|", 2)[0] + "|" for line in lines]) + "\n"


def metrics_page() -> str:
    """Every metric that a server exports at /metrics."""
    collectors = Metrics().registry._collector_to_names
    found = [(family, one) for one in collectors for family in _families(one)]
    lines = [f"# Metrics\n\n{WRITTEN}", "`GET /metrics` exports these, of one gateway.\n"]
    lines += ["| Metric | Type | Labels | What it is |", "|---|---|---|---|"]
    for family, collector in sorted(found, key=lambda each: each[0].name):
        labels = ", ".join(f"`{name}`" for name in getattr(collector, "_labelnames", ()))
        name = family.name + ("_total" if family.type == "counter" else "")
        lines.append(f"| `{name}` | {family.type} | {labels} | {_cell(family.documentation)} |")
    return "\n".join(lines) + "\n"


def _families(collector: Any) -> list[Any]:
    """What a collector exports; its type does not say that it can tell."""
    return list(collector.describe())


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    for part, inner in sorted(command.commands.items()):
        yield from _commands(inner, f"{name} {part}")


def _metavar(argument: click.Argument) -> str:
    return argument.make_metavar(click.Context(click.Command("")))


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    kind = f" {_cell(option.make_metavar(click.Context(click.Command(''))))}"
    shown = option.to_info_dict()["default"]
    default = "" if shown in (None, False, ()) or callable(shown) else f"`{shown}`"
    if option.required:
        default = "required"
    return f"| {names}{'' if option.is_flag else kind} | {default} | {_cell(option.help or '')} |"


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


if __name__ == "__main__":
    from thinkbudget import main

    FOLDER.mkdir(exist_ok=True)
    for name, text in pages(main).items():
        (FOLDER / name).write_text(text, encoding="utf-8")
