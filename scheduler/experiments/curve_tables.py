"""Learned curves for people: what a curve store's file says of every class."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

COLUMNS = ("model", "class", "kind", "x", "accuracy", "low", "high", "tokens")
_SHOWN_VOTES = (1, 2, 4, 8, 16)
_UNITS = {"extensions": "extensions", "votes": "votes", "cap": "thinking tokens at most"}


def read(path: Path) -> list[dict[str, Any]]:
    """The classes of a curve store's file, or of the best known ones of a folder's *curves.json."""
    try:
        classes = read_curves(path) if path.is_dir() else _fitted(path)
        classes.sort(key=lambda line: (line["model"], line["class"]))
        for line in classes:
            _ = [line["curve"][name] for name in ("queries", "labelled", "price", "plans")]
            _ = [[point[name] for name in COLUMNS[2:]] for point in line["curve"]["points"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a curve store: {error!r}") from None
    if not classes:
        raise ValueError(f"{path}: no curve was learned yet")
    return classes


def _fitted(path: Path) -> list[dict[str, Any]]:
    """The classes of a curve store's file; those that have no curve yet are left out."""
    classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
    return [line for line in classes if line.get("curve", line) is not None]


def read_curves(folder: Path) -> list[dict[str, Any]]:
    """The learned curves in a folder, or beside the cells in it: those of the class seen most,
    where several learned.
    """
    best: dict[str, dict[str, Any]] = {}
    for path in sorted([*folder.glob("*curves.json"), *folder.glob("cells/*curves.json")]):
        for line in _fitted(path):
            known = best.get(line["class"])
            if known is None or line["curve"]["queries"] > known["curve"]["queries"]:
                best[line["class"]] = line
    return [best[name] for name in sorted(best)]


class LearnedCurves(NamedTuple):
    """What the policy of one cell learned, by class as a curve store's file has it."""

    engine: str
    questions: str
    policy: str
    seed: int
    classes: list[dict[str, Any]]


def learned_curves(folder: Path) -> list[LearnedCurves]:
    """Those of every cell of an experiment."""
    found = []
    for path in sorted(folder.glob("cells/*~*~*~*.curves.json")):
        engine, questions, policy, seed = path.name.removesuffix(".curves.json").split("~")
        classes = _fitted(path)
        if classes:
            found.append(LearnedCurves(engine, questions, policy, int(seed), classes))
    return found


def show(classes: Iterable[dict[str, Any]]) -> str:
    """For every class what would be done at its price, and what a few fixed settings would give."""
    return "\n\n".join(map(_section, classes))


def _section(line: dict[str, Any]) -> str:
    curve = line["curve"]
    text = [
        f"{line['class']} ({line['model']}): {curve['queries']:.0f} queries, "
        f"{curve['labelled']:.0f} of known answer"
    ]
    for place, plan in enumerate(curve["plans"]):
        verb = f"best at {curve['price']:.1e} a token" if place == 0 else "else"
        text.append(
            f"  {verb}: {plan['name']}, {plan['chains']:.1f} chains, "
            f"{plan['accuracy']:.1%} for {plan['tokens']:.0f} tokens"
        )
    for plan, served in curve.get("served", {}).items():
        span = f"{served['low']:.1%}..{served['high']:.1%} at any time"
        labels = f"{served['checked']:.0f} of {served['queries']:.0f} answers checked"
        text.append(f"  served by {plan}: {served['accuracy']:.1%} right, {span}, {labels}")
    if curve["points"]:
        text.append(f"  {'setting':<32} accuracy  95 % interval    tokens")
    for point in curve["points"]:
        if point["kind"] == "votes" and point["x"] not in _SHOWN_VOTES:
            continue
        setting = f"{point['x']} {_UNITS[point['kind']]}"
        text.append(
            f"  {setting:<32} {point['accuracy']:8.1%}  {point['low']:6.1%}..{point['high']:6.1%}"
            f"  {point['tokens']:8.0f}"
        )
    return "\n".join(text)


def export(classes: Sequence[dict[str, Any]]) -> str:
    """All points as CSV: x is extensions, votes, or thinking tokens; low and high bound 95 %."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for line in classes:
        for point in line["curve"]["points"]:
            table.writerow([line["model"], line["class"], *(point[name] for name in COLUMNS[2:])])
    return text.getvalue()
