"""Which figures a report has of one block, each with its title and what it shows."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from scheduler.experiments import behaviour, oracle
from scheduler.experiments.charts.accuracy import accuracy_figure, classes_figure
from scheduler.experiments.charts.bars import bar_panels, latency_figure
from scheduler.experiments.charts.canvas import Canvas
from scheduler.experiments.charts.course import course_figure
from scheduler.experiments.charts.learned import learned_figure
from scheduler.experiments.curve_tables import LearnedCurves
from scheduler.experiments.metrics.accuracy import summaries
from scheduler.experiments.report import ReportBlock
from scheduler.experiments.settings import ExperimentConfig

MOST_LEARNED = 3
"""Policies whose learned curves are drawn."""


class ReportFigure(NamedTuple):
    """`name` is part of a file's name; `figure` is matplotlib's, and open."""

    name: str
    title: str
    caption: str
    figure: Any


def figures(
    canvas: Canvas,
    block: ReportBlock,
    learned: Sequence[LearnedCurves] = (),
    config: ExperimentConfig | None = None,
) -> Iterator[ReportFigure]:
    """Every figure that the results allow."""
    rows = block.rows
    order = [each.policy for each in summaries(block.scores)]
    yield ReportFigure(
        "accuracy",
        "Accuracy against tokens",
        "A point a policy with 95 % intervals over questions; policies of one grid are joined. "
        "Grey: the Pareto hull, what mixing the best policies at random reaches.",
        accuracy_figure(canvas, block),
    )
    if (figure := classes_figure(canvas, block)) is not None:
        caption = "The same for each class, with its number of questions, on common axes."
        yield ReportFigure("classes", "By class", caption, figure)
    yield from _learned(canvas, block, learned)
    if (figure := course_figure(canvas, rows, config.pricing if config else None)) is not None:
        yield ReportFigure(
            "course",
            "Price and budget over time",
            "Means over seeds by how many questions were asked. Dashed: the goal. The price is "
            "what a token must buy; a price that stayed the same is not drawn.",
            figure,
        )
    yield from _decisions(canvas, rows, order)
    if spent := behaviour.tokens_by_kind(rows):
        caption = "Mean tokens per question by kind, all panels on one scale."
        figure = bar_panels(canvas, order, spent, _count)
        yield ReportFigure("kinds", "Where tokens go, by kind", caption, figure)
    if len(spent := behaviour.tokens_by_class(rows)) > 1:
        caption = "Mean tokens per question of each class, all panels on one scale."
        figure = bar_panels(canvas, order, spent, _count)
        yield ReportFigure("spending", "Where tokens go, by class", caption, figure)
    for column, title, unit in (
        ("seconds", "Latency", "seconds from the question to the answer"),
        ("sequential_tokens", "Latency in tokens", "tokens one after another"),
    ):
        if found := behaviour.tails(rows, column):
            ordered = {policy: found[policy] for policy in order if policy in found}
            caption = "The number is the 99th percentile."
            figure = latency_figure(canvas, ordered, unit)
            yield ReportFigure(f"latency-{column}", title, caption, figure)


def _learned(
    canvas: Canvas, block: ReportBlock, learned: Sequence[LearnedCurves]
) -> Iterator[ReportFigure]:
    graded = [row for row in block.rows if row["correct"] is not None]
    is_known = oracle.knows(graded)
    plans = {policy: {row.get("plan") for row in part} for policy, part in
             behaviour.by_policy(graded).items()}  # fmt: skip
    mine = [
        each
        for each in learned
        if (each.engine, each.questions) == (block.engine, block.questions)
        and each.policy in plans
        and any(line["curve"]["points"] for line in each.classes)
    ]
    # Those that chose among plans have learned the most.
    mine.sort(key=lambda each: (-len(plans[each.policy]), each.policy, each.seed))
    firsts = {each.policy: each for each in reversed(mine)}
    for policy in list(dict.fromkeys(each.policy for each in mine))[:MOST_LEARNED]:
        one = firsts[policy]
        names = [str(line["class"]) for line in one.classes]
        truths = {name: oracle.truth(name) for name in names} if is_known else {}
        truth = "Wide grey lines: the truth. " if is_known else ""
        yield ReportFigure(
            f"curves-{policy}",
            f"Learned curves: {policy}",
            f"Seed {one.seed}: accuracy after 0, 1, 2, ... extensions (solid), of 1, 2, ... votes "
            f"(dashed), and with thinking cut short (dotted), with 95 % bands. {truth}"
            "A curve tells of the questions that the policy met, and of little where it seldom "
            "went.",
            learned_figure(canvas, policy, one.classes, truths),
        )


def _decisions(canvas: Canvas, rows: Sequence[Any], order: Sequence[str]) -> Iterator[ReportFigure]:
    if done := behaviour.actions(rows):
        caption = "Means per question: rounds of chains, chains begun, extensions of a chain."
        figure = bar_panels(canvas, order, done, "{:.1f}".format)
        yield ReportFigure("actions", "Decisions: what was asked for", caption, figure)
    for column, title, caption in (
        ("plan", "Decisions: plans", "Share of the questions by the plan that was chosen."),
        ("stop_reason", "Decisions: stops", "Share of the questions by the reason to stop."),
    ):
        if found := behaviour.shares(rows, column):
            figure = bar_panels(canvas, order, found, "{:.0%}".format)
            yield ReportFigure(column, title, caption, figure)


def _count(value: float) -> str:
    return f"{value:,.0f}"
