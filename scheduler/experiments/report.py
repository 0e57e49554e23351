"""Outcomes to a table and a picture: which policy buys the most accuracy per token."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import binomtest

from scheduler.solving.outcome import read_outcomes


class Scored(NamedTuple):
    """One answered question of known answer. `tokens` are all tokens it took."""

    policy: str
    query_class: str
    correct: bool
    tokens: int
    seconds: float


class ReportRow(NamedTuple):
    """One policy's sum. `low` and `high` bound its accuracy at 95 % (Wilson)."""

    policy: str
    questions: int
    accuracy: float
    low: float
    high: float
    tokens: float
    seconds: float


def read_folder(folder: Path) -> list[Scored]:
    """All outcomes of a folder's logs; those without a known answer are left out."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    return [line for path in sorted(folder.glob("*.jsonl")) for line in _scored(path)]


def _scored(path: Path) -> list[Scored]:
    try:
        return [
            Scored(
                line["policy"],
                line["class"],
                line["correct"],
                line["tokens"]["total"],
                line["seconds"],
            )
            for line in read_outcomes(path)
            if line["correct"] is not None
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not an outcome log: {error!r}") from None


def read_curves(folder: Path) -> list[dict[str, Any]]:
    """The learned curves beside the logs: those of the class seen most, where several learned."""
    best: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*curves.json")):
        for line in json.loads(path.read_text(encoding="utf-8"))["classes"]:
            known = best.get(line["class"])
            if known is None or line["curve"]["queries"] > known["curve"]["queries"]:
                best[line["class"]] = line
    return [best[name] for name in sorted(best)]


def summarise(scored: Iterable[Scored]) -> list[ReportRow]:
    """One row a policy, in the order of mean tokens."""
    groups: dict[str, list[Scored]] = {}
    for line in scored:
        groups.setdefault(line.policy, []).append(line)
    return sorted((_row(policy, lines) for policy, lines in groups.items()), key=lambda r: r.tokens)


def _row(policy: str, lines: Sequence[Scored]) -> ReportRow:
    count, right = len(lines), sum(line.correct for line in lines)
    span = binomtest(right, count).proportion_ci(method="wilson")
    return ReportRow(
        policy,
        count,
        right / count,
        float(span.low),
        float(span.high),
        sum(line.tokens for line in lines) / count,
        sum(line.seconds for line in lines) / count,
    )


def tokens_for(rows: Iterable[ReportRow], accuracy: float) -> float | None:
    """Mean tokens that a mix of these settings needs for an accuracy: their concave hull.

    Mixing two settings at random reaches every point between them. None above the best setting.
    """
    hull: list[ReportRow] = []
    for row in sorted(rows, key=lambda row: (row.tokens, -row.accuracy)):
        if hull and row.accuracy <= hull[-1].accuracy:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], row):
            hull.pop()
        hull.append(row)
    if not hull or accuracy > hull[-1].accuracy:
        return None
    if accuracy <= hull[0].accuracy:
        return hull[0].tokens
    for left, right in zip(hull, hull[1:], strict=False):
        if accuracy <= right.accuracy:
            return left.tokens + (accuracy - left.accuracy) / _slope(left, right)
    return None


def _slope(left: ReportRow, right: ReportRow) -> float:
    return (right.accuracy - left.accuracy) / max(right.tokens - left.tokens, 1e-9)


def verdicts(rows: Sequence[ReportRow]) -> list[str]:
    """For every policy: the tokens that the other ones would need for its accuracy."""
    lines = []
    for row in rows:
        others = [other for other in rows if other.policy != row.policy]
        if not others:
            continue
        needed = tokens_for(others, row.accuracy)
        if needed is None:
            lines.append(f"{row.policy}: more accurate than any mix of the others")
        else:
            lines.append(
                f"{row.policy}: {row.tokens / needed:.2f}x the tokens that the best mix of the "
                f"others needs for {row.accuracy:.1%}"
            )
    return lines


def table(rows: Sequence[ReportRow]) -> str:
    width = max([len("policy"), *(len(row.policy) for row in rows)])
    head = f"{'policy':<{width}}  questions  accuracy  95 % interval   tokens/question  seconds"
    lines = [
        f"{row.policy:<{width}}  {row.questions:9d}  {row.accuracy:8.1%}  "
        f"{row.low:6.1%}..{row.high:6.1%}  {row.tokens:15.1f}  {row.seconds:7.2f}"
        for row in rows
    ]
    return "\n".join([head, *lines])


def by_class(scored: Sequence[Scored]) -> str:
    """Accuracy and mean tokens of every policy on every class."""
    classes = sorted({line.query_class for line in scored})
    rows = summarise(scored)
    width = max([len("policy"), *(len(row.policy) for row in rows)])
    lines = [f"{'policy':<{width}}  " + "  ".join(f"{name:>14}" for name in classes)]
    for row in rows:
        cells = []
        for name in classes:
            mine = [s for s in scored if s.policy == row.policy and s.query_class == name]
            cell = _row(row.policy, mine) if mine else None
            cells.append(f"{cell.accuracy:6.1%} ({cell.tokens:5.0f})" if cell else "-")
        lines.append(f"{row.policy:<{width}}  " + "  ".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)
