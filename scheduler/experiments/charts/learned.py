"""Learned curves, a panel a class on common axes, and the truth where it is known."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scheduler.experiments.charts.canvas import Canvas, hide_after, log_tokens, percent_axis
from scheduler.experiments.charts.labels import NamedPoint, name_lines
from scheduler.experiments.oracle import TruePoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {"extensions": ("-", "o"), "votes": ("--", "s"), "cap": (":", "^")}
"""By kind of setting, how its line and its points are drawn."""
_MARKED = (1, 2, 4, 8, 16, 32)
ACROSS = 4
MOST_CLASSES = 16


def learned_figure(
    canvas: Canvas,
    policy: str | None,
    classes: Sequence[dict[str, Any]],
    truths: Mapping[str, Sequence[TruePoint]],
) -> Any:
    """Curves of one policy, with 95 % bands; without a policy, in the colour of text.

    `truths` is by class; a class without one shows what was learned alone.
    """
    shown = sorted(classes, key=lambda line: -line["curve"]["queries"])[:MOST_CLASSES]
    shown.sort(key=lambda line: str(line["class"]))
    across = min(ACROSS, len(shown))
    down = -(-len(shown) // across)
    figure, axes = canvas.panels(
        down, across, 2.35 * across + 0.6, 2.4 * down + 0.5, sharex=True, sharey=True
    )
    hide_after(axes, len(shown))
    for line, panel in zip(shown, axes.flat, strict=False):
        points = truths.get(line["class"], ())
        _truth(canvas, panel, points)
        ends = _learned(canvas, panel, policy, line["curve"]["points"])
        panel.set_title(f"{line['class']} ({line['curve']['queries']:.0f} queries)")
        percent_axis(panel)
        panel.set_ylim(0, 1.02)
        if line is shown[-1] or len(shown) <= ACROSS:
            _name(canvas, panel, policy, ends)
    log_tokens(axes[0][0])
    figure.supxlabel("tokens per question (log)", fontsize=9, color=canvas.plain["muted"])
    return figure


def _truth(canvas: Canvas, axes: "Axes", points: Sequence[TruePoint]) -> None:
    for kind, (style, _) in KINDS.items():
        mine = [point for point in points if point.kind == kind]
        if mine:
            axes.plot(
                [point.tokens for point in mine], [point.accuracy for point in mine], style,
                lw=3.5, color=canvas.plain["muted"], alpha=0.45, zorder=1,
            )  # fmt: skip


def _learned(
    canvas: Canvas, axes: "Axes", policy: str | None, points: Sequence[Mapping[str, Any]]
) -> list[NamedPoint]:
    """Draws every kind of setting; returns where each line ends."""
    colour, ends = canvas.plain["ink"] if policy is None else canvas.colour(policy), []
    for kind, (style, mark) in KINDS.items():
        mine = [point for point in points if point["kind"] == kind]
        if not mine:
            continue
        x, y = [point["tokens"] for point in mine], [point["accuracy"] for point in mine]
        marked = [n for n, point in enumerate(mine) if kind != "votes" or point["x"] in _MARKED]
        drawn: list[Any] = axes.plot(
            x, y, style, marker=mark, ms=2.6, lw=1.4, color=colour, zorder=3, markevery=marked
        )
        low, high = [point["low"] for point in mine], [point["high"] for point in mine]
        drawn.append(axes.fill_between(x, low, high, color=colour, alpha=0.1, lw=0, zorder=0))
        if policy is not None:
            canvas.of_policy(policy, drawn)
        ends.append(NamedPoint({"cap": "caps"}.get(kind, kind), x[-1], y[-1], colour))
    return ends


def _name(canvas: Canvas, axes: "Axes", policy: str | None, ends: Sequence[NamedPoint]) -> None:
    for text in name_lines(axes, ends, size=7.5):
        if policy is not None:
            canvas.of_policy(policy, [text])
