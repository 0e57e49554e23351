"""The page docs/reference/python.md: what code of one's own imports, with its docstrings."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

from policies.base import (
    Branch,
    Conclude,
    Draw,
    Extend,
    Limits,
    Message,
    Policy,
    Query,
    Situation,
    Stop,
)
from policies.options import PolicyOptions
from policies.plan import Budget, Plan
from policies.signals import Probe, Probing, Signals
from policies.tally import Tally, Vote
from scheduler.client.http_client import Client
from scheduler.client.local import answering, local_controller
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from workers.engine import Engine, EngineInfo, Load, SampleRequest
from workers.sample import Sample

PARTS: dict[str, tuple[Any, ...]] = {
    "Policies": (Policy, PolicyOptions, Situation, Query, Message, Limits),
    "Decisions": (Draw, Extend, Branch, Conclude, Stop, Budget, Plan, Probing, Signals),
    "Votes": (Tally, Vote, Probe),
    "Asking": (answering, local_controller, Controller, Outcome, Client),
    "Engines": (Engine, EngineInfo, Load, SampleRequest, Sample),
}


def python_page(about: str) -> str:
    """Every part with its classes and functions; `about` says how the page is written."""
    parts = [
        f"# Python\n\n{about}\nWhat a policy, an engine or a script of your own imports. The guide "
        "to policies: [write a policy](../guides/write-a-policy.md); two scripts: "
        "[ask](../../examples/ask.py), [own policy](../../examples/own_policy.py).\n"
    ]
    for title, things in PARTS.items():
        parts.append(f"## {title}\n")
        parts += [_entry(thing) for thing in things]
    return "\n".join(parts)


def _entry(thing: Any) -> str:
    lines = [f"### {thing.__name__}", f"```python\nfrom {thing.__module__} import {thing.__name__}"]
    if inspect.isfunction(thing):
        lines[-1] += f"\n{_signature(thing)}"
    lines[-1] += "\n```"
    if not (thing.__doc__ or "").startswith(f"{thing.__name__}("):  # what dataclasses write
        lines.append(_prose(thing.__doc__))
    if inspect.isclass(thing):
        lines += [table for table in (_fields(thing), _methods(thing)) if table]
    return "\n\n".join(line for line in lines if line) + "\n"


def _prose(text: str | None) -> str:
    """A docstring as Markdown; an indented part of it becomes a list."""
    made = []
    for part in inspect.cleandoc(text or "").split("\n\n"):
        pieces = re.split(r"\n(?=\S)", part) if "\n    " in part else [part]
        for piece in pieces:
            head, _, body = piece.partition("\n    ")
            flat = " ".join(f"{head.strip()}: {body}".split()) if body else " ".join(piece.split())
            made.append(f"* {flat}" if body else flat)
    return _escaped("\n\n".join(made))


def _fields(kind: type) -> str:
    rows = ["| Field | Type | Default | What it is |", "|---|---|---|---|"]
    said = _comments(kind)
    for name, annotation in _annotations(kind):
        default = _default(kind, name)
        rows.append(f"| `{name}` | `{_cell(annotation)}` | {default} | {_escaped(said[name])} |")
    return "\n".join(rows) if len(rows) > 2 else ""


def _annotations(kind: type) -> Iterator[tuple[str, str]]:
    shown = inspect.get_annotations(kind) if _is_record(kind) else {}
    for name, annotation in shown.items():
        plain = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        yield name, _short(plain)


def _is_record(kind: type) -> bool:
    """Whether its fields are what it is for. A controller is made by `local_controller`."""
    is_record = dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    return is_record and kind is not Controller


def _short(types: str) -> str:
    """Without packages, and without the quotes of names that are defined later."""
    types = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", types)
    return re.sub(r"'([A-Z][^']*)'", r"\1", types)


def _default(kind: type, name: str) -> str:
    if hasattr(kind, "_field_defaults"):
        found = kind._field_defaults.get(name, dataclasses.MISSING)
    else:
        field = next(each for each in dataclasses.fields(kind) if each.name == name)
        made = field.default_factory
        found = made() if made is not dataclasses.MISSING else field.default
    if found is dataclasses.MISSING:
        return "required"
    return f"`{_cell(type(found).__name__ + '()' if _is_record(type(found)) else repr(found))}`"


def _comments(kind: type) -> dict[str, str]:
    """What `#:` says above each field; nothing where it is not there."""
    said: dict[str, str] = {name: "" for name, _ in _annotations(kind)}
    held: list[str] = []
    for line in inspect.getsource(kind).splitlines():
        text = line.strip()
        if text.startswith("#:"):
            held.append(text.removeprefix("#:").strip())
        else:
            name = text.partition(":")[0]
            if name in said and held:
                said[name] = " ".join(held)
            held = []
    return said


def _methods(kind: type) -> str:
    """Those that are public and say what they do, or that every engine must have."""
    rows = []
    for name, member in vars(kind).items():
        inner = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(inner):
            continue
        if (text := inspect.getdoc(inner)) or kind in (Engine, Policy):
            shown = name if isinstance(member, property) else _signature(inner)
            rows.append(f"| `{_cell(shown)}` | {_escaped(' '.join((text or '').split()))} |")
    return "\n".join(["| Method or property | What it does |", "|---|---|", *rows]) if rows else ""


def _signature(function: Any) -> str:
    """Without the packages of types and without `self`."""
    inner = inspect.unwrap(function)
    text = f"{inner.__name__}{inspect.signature(inner)}"
    return _short(re.sub(r"\((?:self|cls)(?:, )?", "(", text, count=1))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
