"""An experiment's folder in the format of another tool."""

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

from scheduler.experiments.inspect_log import TextKey, write_logs
from scheduler.experiments.manifest import NAME, config_of
from scheduler.experiments.prepare import prepare
from scheduler.experiments.results import read_cell
from scheduler.experiments.settings import ExperimentConfig


def export_inspect(folder: Path, out: Path) -> list[Path]:
    """Logs of inspect_ai of all complete cells.

    A question whose set cannot be read any more is shown by its id. Raises ValueError for a folder
    of no experiment.
    """
    config, place = config_of(folder)
    folder, out = folder.resolve(), out.resolve()
    paths = sorted((folder / "cells").glob("*.jsonl"))
    if not paths:
        raise ValueError(f"{folder}: no cell is complete")
    began = datetime.fromtimestamp((folder / NAME).stat().st_mtime, UTC)
    texts: dict[TextKey, str] = {}
    with contextlib.suppress(ValueError, OSError):
        texts = _texts(config, place)
    return write_logs(
        (row for path in paths for row in read_cell(path)),
        out,
        created=began.isoformat(timespec="seconds"),
        texts=texts,
        options={label: policy.options for label, policy in config.named_policies.items()},
    )


def _texts(config: ExperimentConfig, place: Path) -> dict[TextKey, str]:
    """What was asked; paths of the settings are relative to `place`."""
    here = Path.cwd()
    os.chdir(place)
    try:
        prepared = prepare(config)
    finally:
        os.chdir(here)
    return {
        (engine, name, question.id): question.question
        for (engine, name), questions in prepared.questions.items()
        for question in questions
    }
