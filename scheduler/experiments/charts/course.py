"""How a run went, question by question: the price, and the tokens spent per question so far."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from scheduler.config import PriceConfig
from scheduler.experiments.charts.canvas import Canvas, log_numbers, percent_axis
from scheduler.experiments.charts.labels import NamedPoint, name_lines
from scheduler.experiments.results import ResultRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 120


def course_figure(
    canvas: Canvas, rows: Sequence[ResultRow], goals: PriceConfig | None = None
) -> Any | None:
    """Means over seeds by turn, with the goal that the price had to hold; None without turns.

    Accuracy has a panel where it was the goal, the price where it moved, of the policies that
    choose among plans.
    """
    turns: dict[str, dict[int, list[ResultRow]]] = {}
    for row in rows:
        if row.get("turn") is not None and row["correct"] is not None:
            turns.setdefault(row["policy"], {}).setdefault(row["turn"], []).append(row)
    if not turns:
        return None
    panels: dict[str, dict[str, dict[int, float]]] = {
        "tokens per question so far": {p: _so_far(found, "tokens") for p, found in turns.items()}
    }
    aims = [goals.tokens_per_query if goals else None]
    if goals and goals.accuracy is not None:
        panels["accuracy so far"] = {p: _so_far(found, "correct") for p, found in turns.items()}
        aims.append(goals.accuracy)
    prices = {policy: _prices(found) for policy, found in turns.items() if _chooses(found)}
    if moved := {policy: line for policy, line in prices.items() if len(set(line.values())) > 1}:
        panels["price: points of accuracy per 100 tokens"] = moved
    figure, axes = canvas.panels(1, len(panels), 4.7 * len(panels), 3.8)
    for panel, (title, lines), aim in zip_longest(axes[0], panels.items(), aims):
        panel.set(title=title, xlabel="questions asked")
        if title.startswith("accuracy"):
            percent_axis(panel)
        else:
            log_numbers(panel)
        if aim is not None:
            panel.axhline(aim, lw=1.2, ls="--", color=canvas.plain["ink"])
        _lines(canvas, panel, lines)
    return figure


def _so_far(turns: Mapping[int, Sequence[ResultRow]], column: str) -> dict[int, float]:
    order = sorted(turns)
    means = [float(np.mean([row[column] for row in turns[turn]])) for turn in order]
    so_far = np.cumsum(means) / np.arange(1, len(means) + 1)
    return dict(zip(order, (float(each) for each in so_far), strict=True))


def _chooses(turns: Mapping[int, Sequence[ResultRow]]) -> bool:
    """Whether a policy takes different plans, as those do that heed the price."""
    return len({row.get("plan") for part in turns.values() for row in part}) > 1


def _prices(turns: Mapping[int, Sequence[ResultRow]]) -> dict[int, float]:
    """In points of accuracy per 100 tokens; geometric means, as prices move by factors."""
    found = {}
    for turn in sorted(turns):
        known = [row["price"] for row in turns[turn] if row.get("price")]
        if known:
            found[turn] = float(1e4 * np.exp(np.mean(np.log(known))))
    return found


def _lines(canvas: Canvas, axes: "Axes", lines: Mapping[str, Mapping[int, float]]) -> None:
    ends = []
    for policy, line in lines.items():
        x, y = _thinned(line)
        canvas.of_policy(policy, axes.plot(x, y, lw=1.3, color=canvas.colour(policy)))
        ends.append(NamedPoint(policy, x[-1], y[-1], canvas.colour(policy)))
    for policy, text in zip(lines, name_lines(axes, ends, size=7.5), strict=True):
        canvas.of_policy(policy, [text])


def _thinned(line: Mapping[int, float]) -> tuple[list[int], list[float]]:
    x = sorted(line)
    if len(x) > MOST_POINTS:
        x = [x[round(n)] for n in np.linspace(0, len(x) - 1, MOST_POINTS)]
    return x, [line[turn] for turn in x]
