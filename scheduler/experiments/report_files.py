"""A report as files: its tables in four formats, its figures, and the picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scheduler.experiments import tables
from scheduler.experiments.plots import draw
from scheduler.experiments.report import as_json, blocks, verdicts
from scheduler.experiments.report import tables as tables_of
from scheduler.experiments.results import ResultRow


def write(folder: Path, rows: Sequence[ResultRow], curves: Sequence[dict[str, Any]]) -> Path:
    """Write report.txt, .md, .tex, .json and .png, and a CSV file a table, into the folder.

    Returns the path of report.txt.
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
    for suffix, parts in (("txt", text), ("md", marked), ("tex", tex)):
        joined = "\n\n".join(part for part in parts if part) + "\n"
        (folder / f"report.{suffix}").write_text(joined, encoding="utf-8")
    summary = [as_json(block) | {"verdicts": told} for block, _, told in made]
    (folder / "report.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    draw(folder / "report.png", found, curves)
    return folder / "report.txt"
