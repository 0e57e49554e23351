"""The paper's Figures 1, 4, 6 and 7 from the runs of the study."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from scheduler.experiments.s1_study.runs import StudyRun, groups, of_family, runs_of
from scheduler.experiments.s1_study.tables import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORCING, MAJORITY, REJECTION = "#264653", "#e9a23b", "#7b5ea7"
REBASE, FINE, BEST = "#c8553d", "#2a9d8f", "#8d6a4f"
THINKING = "thinking tokens of a question"
GENERATED = "generated tokens of a question"


def draw_study(folder: Path, study: Study) -> list[Path]:
    """The figures whose parts have run, as PNG files in the folder."""
    made = []
    for name, draw, needs in (
        ("figure_1", _figure_1, ("forcing",)),
        ("figure_4", _figure_4, ("forcing",)),
        ("figure_6", _figure_6, ("rejection",)),
        ("figure_7", _figure_7, ("forcing", "parallel")),
    ):
        if all(part in study for part in needs):
            path = folder / f"{name}.png"
            draw(path, study)
            made.append(path)
    return made


def _figure_1(path: Path, study: Study) -> None:
    """A panel a question set, or a class: budget forcing by caps and extensions."""
    parts = groups(study["forcing"])
    figure, axes = plt.subplots(
        1, len(parts), figsize=(3.2 * len(parts), 3.4), sharey=True, squeeze=False
    )
    for panel, (name, rows) in zip(axes[0], parts.items(), strict=True):
        _forcing(panel, runs_of(rows))
        _axes(panel, THINKING, title=name)
    axes[0][0].set_ylabel("accuracy, %")
    _save(figure, path)


def _figure_4(path: Path, study: Study) -> None:
    """Sequential scaling by forcing, and parallel scaling by majority votes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True)
    forcing, parallel = runs_of(study["forcing"]), runs_of(study.get("parallel", ()))
    _forcing(left, forcing)
    _axes(left, THINKING, title="sequential: budget forcing")
    left.set_ylabel("accuracy, %")
    _line(right, _extended(forcing), FORCING, "forcing", _all_tokens)
    _line(right, of_family(parallel, "majority"), MAJORITY, "majority", _all_tokens, _times)
    _axes(right, GENERATED, title="parallel: majority of 2 to 16, beside forcing")
    _save(figure, path)


def _figure_6(path: Path, study: Study) -> None:
    """Rejection sampling: accuracy by the length of what was accepted."""
    figure, axes = plt.subplots(figsize=(6, 4.2))
    _line(axes, runs_of(study["rejection"]), REJECTION, "", _thinking, _at_most)
    _axes(axes, "mean thinking tokens of the accepted chain", title="rejection sampling")
    axes.set_ylabel("accuracy, %")
    _save(figure, path)


def _figure_7(path: Path, study: Study) -> None:
    """Sequential forcing, majority votes and trees by all generated tokens."""
    figure, axes = plt.subplots(figsize=(8, 5))
    parallel = runs_of(study["parallel"])
    _line(axes, _extended(runs_of(study["forcing"])), FORCING, "forcing", _all_tokens)
    for name, colour, label in (
        ("majority", MAJORITY, "majority"),
        ("best", BEST, "best of n"),
        ("rebase", REBASE, "REBASE"),
        ("fine", FINE, "REBASE, short steps"),
    ):
        _line(axes, of_family(parallel, name), colour, label, _all_tokens, _times)
    _axes(axes, GENERATED, title="sequential and parallel scaling")
    axes.set_ylabel("accuracy, %")
    _save(figure, path)


def _forcing(axes: "Axes", runs: Sequence[StudyRun]) -> None:
    _line(axes, of_family(runs, "cap"), FORCING, "caps", _thinking)
    _line(axes, _extended(runs), REBASE, '0 to 8 "Wait"', _thinking)


def _extended(runs: Sequence[StudyRun]) -> list[StudyRun]:
    return of_family(runs, "unforced", "wait")


def _line(
    axes: "Axes",
    runs: Sequence[StudyRun],
    colour: str,
    label: str,
    x: Callable[[StudyRun], float],
    named: Callable[[StudyRun], str] | None = None,
) -> None:
    """Points with 95 % intervals, joined in the order of their settings."""
    if not runs:
        return
    xs, ys = [x(run) for run in runs], [run.accuracy.value for run in runs]
    low = [run.accuracy.value - run.accuracy.low for run in runs]
    high = [run.accuracy.high - run.accuracy.value for run in runs]
    axes.errorbar(
        xs, ys, yerr=[low, high], fmt="o-", ms=4, lw=1.2, elinewidth=0.6, color=colour, label=label
    )
    for run, at, accuracy in zip(runs, xs, ys, strict=True) if named else ():
        axes.annotate(
            named(run) if named else "",
            (at, accuracy),
            xytext=(4, -11),
            textcoords="offset points",
            fontsize=8,
            color=colour,
        )


def _thinking(run: StudyRun) -> float:
    return run.thinking


def _all_tokens(run: StudyRun) -> float:
    return run.tokens


def _times(run: StudyRun) -> str:
    return f"{run.setting}x"


def _at_most(run: StudyRun) -> str:
    return f"up to {run.setting}"


def _axes(axes: "Axes", x: str, *, title: str) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{x} (log)", fontsize=9)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    if any(axes.get_legend_handles_labels()[1]):
        axes.legend(fontsize=8, frameon=False)


def _save(figure: "Figure", path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
