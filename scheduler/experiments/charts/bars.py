"""Figures by policy: a bar a policy in each panel, and percentiles as points on a line."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scheduler.experiments.charts.canvas import Canvas
from scheduler.experiments.metrics.latency import Percentiles

ROW = 0.24
"""Inches for a policy."""


def bar_panels(
    canvas: Canvas,
    policies: Sequence[str],
    panels: Mapping[str, Mapping[str, float]],
    shown: Callable[[float], str],
    *,
    across: int = 5,
) -> Any:
    """A panel a key, a bar a policy, and its value beside it; all panels have one scale."""
    names = list(panels)
    columns = min(across, len(names))
    down = -(-len(names) // columns)
    figure, axes = canvas.panels(
        down, columns, 1.5 + 1.65 * columns, down * (0.5 + ROW * len(policies)),
        sharex=True, sharey=True,
    )  # fmt: skip
    for panel in axes.flat[len(names) :]:
        panel.set_visible(False)
    places = range(len(policies))
    most = max((value for panel in panels.values() for value in panel.values()), default=1) or 1
    for name, panel in zip(names, axes.flat, strict=False):
        panel.set_title(name, fontsize=9)
        panel.grid(visible=False)
        panel.tick_params(axis="y", length=0)
        for place, policy in zip(places, policies, strict=True):
            value = panels[name].get(policy, 0.0)
            drawn: list[Any] = list(panel.barh(place, value, 0.72, color=canvas.colour(policy)))
            drawn.append(panel.annotate(
                shown(value) if value else "", (value, place), xytext=(3, 0),
                textcoords="offset points", va="center", fontsize=7, color=canvas.plain["ink"],
            ))  # fmt: skip
            canvas.of_policy(policy, drawn)
        panel.set_xlim(0, 1.3 * most)
        panel.set_xticks([])
        panel.spines["bottom"].set_visible(False)
    for panel in axes[:, 0]:
        _name_rows(canvas, panel, policies)
    return figure


def latency_figure(canvas: Canvas, tails: Mapping[str, Percentiles], unit: str) -> Any:
    """Median, 90th and 99th percentile of each policy on a log axis."""
    figure, axes = canvas.panels(1, 1, 8.2, 0.9 + ROW * len(tails))
    panel = axes[0][0]
    for place, (policy, tail) in enumerate(tails.items()):
        colour = canvas.colour(policy)
        drawn: list[Any] = panel.plot(tail, [place] * 3, lw=1.4, color=colour)
        for value, mark in zip(tail, ("o", "D", "|"), strict=True):
            drawn += panel.plot(value, place, mark, ms=6, mew=1.6, color=colour)
        drawn.append(panel.annotate(
            _rounded(tail.p99), (tail.p99, place), xytext=(6, 0), textcoords="offset points",
            va="center", fontsize=7, color=canvas.plain["ink"],
        ))  # fmt: skip
        canvas.of_policy(policy, drawn)
    panel.set_xscale("log")
    panel.margins(x=0.1)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.4g}")
    panel.set_xlabel(f"{unit}: median (dot), 90th (diamond) and 99th percentile (bar), log")
    _name_rows(canvas, panel, list(tails))
    return figure


def _name_rows(canvas: Canvas, panel: Any, policies: Sequence[str]) -> None:
    panel.set_yticks(range(len(policies)), policies)
    panel.tick_params(axis="y", length=0, labelsize=8)
    for label, policy in zip(panel.get_yticklabels(), policies, strict=True):
        label.set_color(canvas.colour(policy))
    panel.set_ylim(len(policies) - 0.4, -0.6)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
