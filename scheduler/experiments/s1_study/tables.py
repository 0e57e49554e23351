"""The paper's Tables 3, 4 and 11 to 13 from the runs of the study."""

import math
from collections.abc import Callable, Mapping, Sequence

from scheduler.experiments.metrics.s1 import ScalingRun, control, performance, scaling
from scheduler.experiments.report import STEP_TOKENS
from scheduler.experiments.results import ResultRow
from scheduler.experiments.s1_study.runs import StudyRun, groups, of_family, runs_of
from scheduler.experiments.tables import TextTable

Study = Mapping[str, Sequence[ResultRow]]


def study_tables(study: Study) -> list[TextTable]:
    """Those whose parts have run."""
    made = [
        figure_1(study),
        table_3(study),
        table_4(study),
        _by_setting(study, "token_conditional", "Table 11: token-conditional control"),
        _by_setting(study, "step_conditional", "Table 12: step-conditional control"),
        _by_setting(study, "class_conditional", "Table 13: class-conditional control"),
    ]
    return [table for table in made if table.rows]


def table_3(study: Study) -> TextTable:
    """Every way to scale: Control, Scaling and Performance (s1, Table 3)."""
    rows = [
        (name, f"{control(runs):.0f}%", _slope(runs), f"{performance(runs):.1f}", f"{len(runs)}")
        for name, runs in methods(study).items()
        if runs
    ]
    head = ("method", "Control", "Scaling", "Performance", "runs")
    note = "Scaling is in points per doubling of thinking tokens."
    return TextTable("Table 3: ways to scale test-time compute", head, tuple(rows), note)


def methods(study: Study) -> dict[str, list[ScalingRun]]:
    """The runs of each method with the bounds that they were given."""
    forcing = runs_of(study.get("forcing", ()))
    token = runs_of(study.get("token_conditional", ()))
    step = runs_of(study.get("step_conditional", ()))
    rejection = runs_of(study.get("rejection", ()))
    return {
        "BF": _bounded(of_family(forcing, "cap"))
        + [_run(run) for run in of_family(forcing, "unforced", "wait")],
        "TCC": _bounded(of_family(token, "token")),
        "TCC + BF": _bounded(of_family(token, "token-forced")),
        "SCC": _bounded(of_family(step, "step"), STEP_TOKENS),
        "SCC + BF": _bounded(of_family(step, "step-forced"), STEP_TOKENS),
        "CCC": _classes(runs_of(study.get("class_conditional", ()))),
        "RS": _bounded(rejection),
    }


def table_4(study: Study) -> TextTable:
    """What is appended at an ignored end of thinking (s1, Table 4)."""

    def named(run: StudyRun) -> str:
        text = f'"{run.setting.capitalize()}"' if run.setting else "without a text"
        return "no extension" if run.family == "none" else f"2x {text}"

    rows = study.get("extension_texts", ())
    return _by_group(rows, "Table 4: texts of extensions", "appended", named)


def figure_1(study: Study) -> TextTable:
    """The points of Figures 1 and 4a."""
    rows = study.get("forcing", ())
    return _by_group(rows, "Figures 1 and 4: budget forcing", "policy", lambda run: run.policy)


def _by_group(
    rows: Sequence[ResultRow], title: str, first: str, named: Callable[[StudyRun], str]
) -> TextTable:
    """Accuracy of every run by question set or class, and of all."""
    parts = {name: runs_of(part) for name, part in groups(rows).items()} if rows else {}
    parts["all"] = runs_of(rows)
    told = tuple(
        (
            named(run),
            *(_percent(_same(runs, run)) for runs in parts.values()),
            _number(run.thinking),
        )
        for run in parts["all"]
    )
    return TextTable(title, (first, *parts, "thinking tokens"), told, "Accuracy in percent.")


def _by_setting(study: Study, part: str, title: str) -> TextTable:
    rows = tuple(
        (
            run.policy,
            _number(run.thinking),
            _number(run.answer),
            f"{run.accuracy.value:.1f} ({run.accuracy.low:.1f} to {run.accuracy.high:.1f})",
        )
        for run in runs_of(study.get(part, ()))
    )
    head = ("policy", "thinking tokens", "answer tokens", "accuracy, % (95 %)")
    return TextTable(title, head, rows)


def _bounded(runs: Sequence[StudyRun], factor: float = 1.0) -> list[ScalingRun]:
    return [_run(run, most=factor * run.number) for run in runs]


def _classes(runs: Sequence[StudyRun]) -> list[ScalingRun]:
    """Short is to be below the plain run, long above it (s1, Table 13)."""
    plain = {run.family: run.thinking for run in runs}.get("none")
    return [
        _run(run, **({"most": plain} if run.setting == "short" else {"least": plain}))
        for run in of_family(runs, "length")
    ]


def _run(run: StudyRun, most: float | None = None, least: float | None = None) -> ScalingRun:
    return ScalingRun(run.thinking, run.accuracy.value, most, least)


def _slope(runs: Sequence[ScalingRun]) -> str:
    slope = scaling([run for run in runs if run.thinking_tokens > 0])
    return "-" if math.isnan(slope) else f"{slope:.1f}"


def _same(runs: Sequence[StudyRun], wanted: StudyRun) -> StudyRun | None:
    return next((run for run in runs if run.policy == wanted.policy), None)


def _percent(run: StudyRun | None) -> str:
    return "-" if run is None else f"{run.accuracy.value:.1f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"
