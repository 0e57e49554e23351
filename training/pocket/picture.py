"""The measured curves of s1-pocket as one picture: accuracy against thinking tokens."""

from dataclasses import dataclass
from pathlib import Path


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
