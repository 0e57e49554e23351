"""What a job that can be resumed was begun with; another one does not go on in its output."""

import json
from pathlib import Path
from typing import Any


class ResumeRefused(ValueError):
    """The output belongs to another job."""


def read_manifest(path: Path) -> dict[str, Any]:
    """Raises ValueError for a file that is no manifest."""
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no manifest of a job: {error}") from None
    if not isinstance(begun, dict):
        raise ValueError(f"{path} is no manifest of a job")
    return begun


def refuse_another(
    out: object,
    begun: dict[str, Any],
    job: dict[str, Any],
    *,
    way_out: str = "or resume it all the same with --force",
) -> None:
    """Raise ResumeRefused that names the settings in which a job differs from the one before."""
    if differing := [key for key in job if begun.get(key) != job[key]]:
        raise ResumeRefused(
            f"{out} was begun with another {', '.join(differing)}; choose another output, {way_out}"
        )
