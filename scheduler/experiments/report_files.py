"""A report as files: the table, its figures, and the picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scheduler.experiments.plots import draw
from scheduler.experiments.report import Scored, by_class, summarise, table, verdicts


def write(folder: Path, scored: Sequence[Scored], curves: Sequence[dict[str, Any]]) -> Path:
    """Write report.txt, report.json and report.png into the folder; returns the picture's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = summarise(scored)
    text = "\n\n".join([table(rows), by_class(scored), "\n".join(verdicts(rows))])
    (folder / "report.txt").write_text(text + "\n", encoding="utf-8")
    summary = {"policies": [row._asdict() for row in rows], "verdicts": verdicts(rows)}
    (folder / "report.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    picture = folder / "report.png"
    draw(picture, rows, curves)
    return picture
