"""Measured curves as pictures: accuracy against thinking tokens."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from training.pocket.comparison import accuracy
from training.pocket.measure import CAPS, WAITS, Measured, cap, waits


@dataclass(frozen=True, slots=True)
class Point:
    """`setting` is a number of Waits or votes, a budget of tokens, or a share of the thoughts."""

    setting: float
    accuracy: float
    error: float
    tokens: float


Curves = dict[str, list[Point]]


def plot(classes: dict[str, Curves], path: Path) -> None:
    from matplotlib.figure import Figure

    styles = {
        "greedy waits": ("Waits, greedy", "o-", "tab:blue"),
        "greedy fractions": ("cut short, greedy", "s:", "tab:gray"),
        "sampled waits": ("Waits, sampled", "o--", "tab:cyan"),
        "sampled votes": ("votes, sampled", "^-", "tab:orange"),
    }
    figure = Figure(figsize=(4 * len(classes), 4), layout="constrained")
    panels = figure.subplots(1, len(classes), sharey=True, squeeze=False)[0]
    for panel, (name, curves) in zip(panels, classes.items(), strict=True):
        for curve, (label, style, colour) in styles.items():
            points = [point for point in curves[curve] if point.tokens > 0]
            panel.errorbar(
                [point.tokens for point in points],
                [point.accuracy for point in points],
                yerr=[point.error for point in points],
                fmt=style,
                color=colour,
                label=label,
                markersize=4,
                capsize=2,
            )
        panel.set(title=name, xlabel="mean thinking tokens", xscale="log", ylim=(0, 1.02))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy")
    panels[0].legend(loc="lower right", fontsize="small")
    figure.savefig(path, dpi=120)


def plot_models(models: dict[str, Measured], path: Path) -> None:
    """Accuracy against thinking tokens, all questions and sums alone: Waits solid, caps dotted."""
    from matplotlib.figure import Figure

    whole = {name: found for name, found in models.items() if not name.endswith("-cut")}
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for panel, of in zip(figure.subplots(1, 2, sharey=True), (None, "sum"), strict=True):
        for number, (name, measured) in enumerate(whole.items()):
            for settings, style in ((map(waits, WAITS), "o-"), (map(cap, CAPS), "s:")):
                points = [_point(measured, setting, of) for setting in settings]
                panel.errorbar(
                    *zip(*points, strict=True),
                    fmt=style,
                    color=f"C{number}",
                    label=name if style == "o-" else None,
                    markersize=4,
                    capsize=2,
                )
        panel.set(title=of or "all classes", xlabel="mean thinking tokens", xscale="log")
        panel.grid(alpha=0.3)
    figure.axes[0].set(ylabel="accuracy", ylim=(0, 1.02))
    figure.axes[0].legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=110)


def _point(measured: Measured, setting: str, of: str | None) -> tuple[float, float, float]:
    """Mean thinking tokens, accuracy, and the half width of its interval."""
    chosen = [
        tokens
        for tokens, name in zip(measured.settings[setting].tokens, measured.classes, strict=True)
        if of in (None, name)
    ]
    found = accuracy(measured, setting, of)
    return fmean(chosen), found.mean, found.half
