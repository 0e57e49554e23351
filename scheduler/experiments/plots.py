"""The report's picture. The only file that imports matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from scheduler.experiments.metrics.accuracy import summaries
from scheduler.experiments.metrics.pareto import Point, hull
from scheduler.experiments.report import ReportBlock

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LEARNED = "#c8553d"
COLOURS = ("#264653", "#2a9d8f", "#e9a23b", "#7b5ea7", "#4f7cac", "#8d6a4f", "#c8553d")


def draw(path: Path, blocks: Sequence[ReportBlock], curves: Sequence[dict[str, Any]]) -> None:
    """A panel of accuracy against tokens for each block, and one of what was learned."""
    panels = len(blocks) + bool(curves)
    figure, axes = plt.subplots(1, panels, figsize=(6.5 * panels, 5), squeeze=False)
    for panel, block in zip(axes[0], blocks, strict=False):
        _policies(panel, block)
    if curves:
        _curves(axes[0][-1], curves)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_curves(path: Path, curves: Sequence[dict[str, Any]]) -> None:
    figure, axes = plt.subplots(figsize=(9, 6))
    _curves(axes, curves)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _policies(axes: "Axes", block: ReportBlock) -> None:
    rows = summaries(block.scores)
    line = hull([Point(row.tokens.value, 100 * row.accuracy.value) for row in rows])
    axes.plot([p.tokens for p in line], [p.accuracy for p in line], lw=1, color="#999999", zorder=0)
    for place, row in enumerate(rows):
        colour = LEARNED if row.policy.startswith("priced") else COLOURS[place % 6]
        x, y = row.tokens, row.accuracy
        axes.errorbar(
            x.value,
            100 * y.value,
            yerr=[[100 * (y.value - y.low)], [100 * (y.high - y.value)]],
            xerr=[[x.value - x.low], [x.high - x.value]],
            fmt="o",
            color=colour,
            capsize=3,
        )
        # Names stand towards the middle, where there is room for them.
        on_the_right = x.value > (rows[0].tokens.value * rows[-1].tokens.value) ** 0.5
        axes.annotate(
            row.policy,
            (x.value, 100 * y.value),
            xytext=(-7 if on_the_right else 7, -11),
            ha="right" if on_the_right else "left",
            textcoords="offset points",
            fontsize=9,
            color=colour,
        )
    axes.set_xscale("log")
    axes.set(
        title=f"{block.title}: a point a policy, 95 % intervals, and the best mixes",
        xlabel="tokens per question, all of them (log)",
        ylabel="accuracy, %",
    )
    axes.margins(x=0.18)
    axes.grid(alpha=0.25)


def _curves(axes: "Axes", curves: Sequence[dict[str, Any]]) -> None:
    for place, line in enumerate(curves):
        colour = COLOURS[place % len(COLOURS)]
        points = line["curve"]["points"]
        for arm, style, width in (("extensions", "o-", 1.6), ("votes", "s--", 1.0)):
            mine = [point for point in points if point["arm"] == arm]
            if not mine:
                continue
            x = [point["tokens"] for point in mine]
            label = f"{line['class']}: {arm}"
            axes.plot(x, [p["accuracy"] for p in mine], style, ms=3.5, lw=width, color=colour,
                      label=label)  # fmt: skip
            if arm == "extensions":
                low, high = [p["low"] for p in mine], [p["high"] for p in mine]
                axes.fill_between(x, low, high, color=colour, alpha=0.08)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set(
        title="Learned curves: a chain with 0, 1, 2, ... extensions, and 1, 2, ... votes",
        xlabel="tokens per question (log)",
        ylabel="accuracy",
    )
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7, ncol=2, loc="lower right")
