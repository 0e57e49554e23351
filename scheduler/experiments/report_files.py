"""A report as files: its tables in four formats, its figures, and the page that has them all."""

import json
from collections.abc import Sequence
from pathlib import Path

from scheduler.experiments import tables
from scheduler.experiments.charts.canvas import Canvas
from scheduler.experiments.charts.figures import figures
from scheduler.experiments.charts.pictures import draw
from scheduler.experiments.curve_tables import LearnedCurves
from scheduler.experiments.engine_tables import TITLE, engine_tables
from scheduler.experiments.html_page import PageBlock, PageFigure, html_page
from scheduler.experiments.report import ReportBlock, as_json, blocks, verdicts
from scheduler.experiments.report import tables as tables_of
from scheduler.experiments.results import ResultRow
from scheduler.experiments.settings import ExperimentConfig


def write(
    folder: Path,
    rows: Sequence[ResultRow],
    learned: Sequence[LearnedCurves] = (),
    config: ExperimentConfig | None = None,
) -> Path:
    """Write report.html, .txt, .md, .tex, .json and .png into the folder, and a CSV file a table.

    Every figure of the page is a PNG file, too. Returns the path of report.txt.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = blocks(rows)
    made = [(block, tables_of(block), verdicts(block)) for block in found]
    text, marked, tex = [], [], []
    for number, (_, several, told) in enumerate(made, start=1):
        text += [tables.plain(table) for table in several] + ["\n".join(told)]
        marked += [tables.markdown(table) for table in several]
        marked += ["\n".join(f"* {line}" for line in told)]
        tex += [f"% {table.title}\n{tables.latex(table)}" for table in several]
        for place, table in enumerate(several, start=1):
            path = folder / f"report-{number}-{place}.csv"
            path.write_text(tables.as_csv(table), encoding="utf-8")
    engines = engine_tables(rows)
    for place, table in enumerate(engines, start=1):
        (folder / f"report-engines-{place}.csv").write_text(tables.as_csv(table), encoding="utf-8")
    text += [tables.plain(table) for table in engines]
    marked += [tables.markdown(table) for table in engines]
    tex += [f"% {table.title}\n{tables.latex(table)}" for table in engines]
    for suffix, parts in (("txt", text), ("md", marked), ("tex", tex)):
        joined = "\n\n".join(part for part in parts if part) + "\n"
        (folder / f"report.{suffix}").write_text(joined, encoding="utf-8")
    summary = [as_json(block) | {"verdicts": told} for block, _, told in made]
    (folder / "report.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    policies = list(dict.fromkeys(policy for block in found for policy in block.scores.policies))
    _pictures(folder, found, policies, learned, config)
    page = html_page(
        f"Experiment {folder.resolve().parent.name}",
        _facts(rows, config),
        policies,
        [
            *_page_blocks(made, policies, learned, config),
            *([PageBlock(TITLE, [], [], engines)] if engines else []),
        ],
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
    return folder / "report.txt"


def _pictures(
    folder: Path,
    found: Sequence[ReportBlock],
    policies: Sequence[str],
    learned: Sequence[LearnedCurves],
    config: ExperimentConfig | None,
) -> None:
    draw(folder / "report.png", found, policies)
    canvas = Canvas(policies, themed=False)
    for number, block in enumerate(found, start=1):
        for each in figures(canvas, block, learned, config):
            canvas.png(each.figure, folder / f"report-{number}-{each.name}.png")


def _page_blocks(
    made: Sequence[tuple[ReportBlock, list[tables.TextTable], list[str]]],
    policies: Sequence[str],
    learned: Sequence[LearnedCurves],
    config: ExperimentConfig | None,
) -> list[PageBlock]:
    canvas = Canvas(policies, themed=True)
    return [
        PageBlock(
            block.title,
            told,
            [
                PageFigure(each.name, each.title, each.caption, canvas.svg(each.figure, each.title))
                for each in figures(canvas, block, learned, config)
            ],
            several,
        )
        for block, several, told in made
    ]


def _facts(rows: Sequence[ResultRow], config: ExperimentConfig | None) -> dict[str, str]:
    """What a reader has to know of the run."""
    facts = {
        "questions": f"{len({(row['questions'], row['id']) for row in rows}):,}",
        "answers": f"{len(rows):,}",
        "policies": f"{len({row['policy'] for row in rows})}",
        "seeds": f"{len({row['seed'] for row in rows})}",
        "models": ", ".join(sorted({str(row["model"]) for row in rows if row.get("model")})),
    }
    if config is not None:
        price = config.pricing
        facts["price"] = (
            f"held to {price.tokens_per_query:,.0f} tokens a question"
            if price.tokens_per_query is not None
            else f"held to {price.accuracy:.0%} right"
            if price.accuracy is not None
            else f"{price.price().per_token:g} of accuracy a token"
        )
        facts["right answers told"] = f"{config.labelled:.0%} of the questions"
    return {name: value for name, value in facts.items() if value}
