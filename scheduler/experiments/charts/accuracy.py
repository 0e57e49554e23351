"""Accuracy against tokens: a point a policy with intervals, and what the best mixes reach."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scheduler.experiments.charts.canvas import Canvas, hide_after, log_tokens, percent_axis
from scheduler.experiments.charts.labels import NamedPoint, name_points
from scheduler.experiments.metrics.accuracy import PolicySummary, summaries
from scheduler.experiments.metrics.pareto import Point, hull
from scheduler.experiments.report import ReportBlock, family

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 16
ACROSS = 4
MOST_NAMES = 9


def accuracy_figure(canvas: Canvas, block: ReportBlock) -> Any:
    """All questions of a block in one panel."""
    figure, axes = canvas.panels(1, 1, 8.2, 5.0)
    draw_accuracy(canvas, axes[0][0], summaries(block.scores))
    return figure


def draw_accuracy(canvas: Canvas, axes: "Axes", found: Sequence[PolicySummary]) -> None:
    _points(canvas, axes, found, bars=True)
    axes.set(xlabel="tokens per question (log)", ylabel="accuracy")
    log_tokens(axes)
    points = [
        NamedPoint(row.policy, row.tokens.value, row.accuracy.value, canvas.colour(row.policy))
        for row in found
    ]
    bars = [place for row in found for place in _along_bars(row)]
    for row, text in zip(found, name_points(axes, points, bars), strict=True):
        canvas.of_policy(row.policy, [text])


def classes_figure(canvas: Canvas, block: ReportBlock) -> Any | None:
    """A panel a class on common axes, the largest classes first; None for one class only."""
    counts = Counter(block.scores.classes)
    names = sorted(sorted(counts), key=lambda name: -counts[name])[:MOST_CLASSES]
    if len(names) < 2:
        return None
    names.sort()
    parts = {name: summaries(block.scores.of_class(name)) for name in names}
    across = min(ACROSS, len(names))
    down = -(-len(names) // across)
    figure, axes = canvas.panels(
        down, across, 2.35 * across + 0.6, 2.3 * down + 0.5, sharex=True, sharey=True
    )
    hide_after(axes, len(names))
    for name, panel in zip(names, axes.flat, strict=False):
        _points(canvas, panel, parts[name], bars=False)
        panel.set_title(f"{name} ({counts[name]})")
    log_tokens(axes[0][0])
    if len({family(policy) for policy in block.scores.policies}) <= MOST_NAMES:
        for name, panel in zip(names, axes.flat, strict=False):
            _name_families(canvas, panel, parts[name])
    figure.supxlabel("tokens per question (log)", fontsize=9, color=canvas.plain["muted"])
    figure.supylabel("accuracy", fontsize=9, color=canvas.plain["muted"])
    return figure


def _name_families(canvas: Canvas, axes: "Axes", found: Sequence[PolicySummary]) -> None:
    """In a small panel there is room for one name a family, at its most tokens."""
    last = {family(row.policy): row for row in found}
    points = [
        NamedPoint(name, row.tokens.value, row.accuracy.value, canvas.colour(row.policy))
        for name, row in last.items()
    ]
    avoid = [place for row in found for place in _along_bars(row)]
    named = name_points(axes, points, avoid, size=6.5)
    for row, text in zip(last.values(), named, strict=True):
        canvas.of_policy(row.policy, [text])


def _along_bars(row: PolicySummary) -> list[tuple[float, float]]:
    """Places on the intervals of a point."""
    x, y = row.tokens, row.accuracy
    shares = [n / 10 for n in range(11)]
    upright = [(x.value, y.low + share * (y.high - y.low)) for share in shares]
    return upright + [(x.low + share * (x.high - x.low), y.value) for share in shares]


def _points(canvas: Canvas, axes: "Axes", found: Sequence[PolicySummary], *, bars: bool) -> None:
    best = hull([Point(row.tokens.value, row.accuracy.value) for row in found])
    axes.plot(
        [point.tokens for point in best], [point.accuracy for point in best],
        lw=5, color=canvas.plain["grid"], solid_capstyle="round", zorder=0,
    )  # fmt: skip
    families: dict[str, list[PolicySummary]] = {}
    for row in found:
        families.setdefault(family(row.policy), []).append(row)
    for members in families.values():
        colour = canvas.colour(members[-1].policy)
        line = axes.plot(
            [row.tokens.value for row in members], [row.accuracy.value for row in members],
            lw=1.1, color=colour, zorder=1,
        )  # fmt: skip
        canvas.of_policy(members[-1].policy, line)
        for row in members:
            _point(canvas, axes, row, bars=bars)
    percent_axis(axes)
    axes.margins(x=0.08, y=0.08)


def _point(canvas: Canvas, axes: "Axes", row: PolicySummary, *, bars: bool) -> None:
    x, y, colour = row.tokens, row.accuracy, canvas.colour(row.policy)
    drawn = axes.plot(x.value, y.value, canvas.mark(row.policy), color=colour, ms=6, zorder=3)
    drawn += axes.plot([x.value] * 2, [y.low, y.high], lw=1.3, color=colour, zorder=2)
    if bars:
        drawn += axes.plot([x.low, x.high], [y.value] * 2, lw=1.3, color=colour, zorder=2)
    canvas.of_policy(row.policy, drawn)
