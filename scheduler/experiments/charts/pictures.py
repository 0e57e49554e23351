"""Pictures as PNG files: the report's, and that of learned curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scheduler.experiments.charts.accuracy import draw_accuracy
from scheduler.experiments.charts.canvas import Canvas
from scheduler.experiments.charts.learned import learned_figure
from scheduler.experiments.metrics.accuracy import summaries
from scheduler.experiments.report import ReportBlock


def draw(path: Path, blocks: Sequence[ReportBlock], policies: Sequence[str]) -> None:
    """A panel of accuracy against tokens for each block."""
    canvas = Canvas(policies, themed=False)
    figure, axes = canvas.panels(1, len(blocks), 7.6 * len(blocks), 5.0)
    for panel, block in zip(axes[0], blocks, strict=True):
        draw_accuracy(canvas, panel, summaries(block.scores))
        panel.set_title(f"{block.title}: 95 % intervals, and what the best mixes reach (grey)")
    canvas.png(figure, path)


def draw_curves(path: Path, classes: Sequence[dict[str, Any]]) -> None:
    """A panel a class: accuracy after extensions, votes and caps, as learned."""
    canvas = Canvas([], themed=False)
    canvas.png(learned_figure(canvas, None, classes, {}), path)
