"""The files of a batch job: what is done already, what another job has begun, what was spent."""

import hashlib
import json
import math
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from policies.price import Price
from scheduler.manifest import read_manifest, refuse_another


class Files(NamedTuple):
    """Where a job writes."""

    out: Path
    errors: Path
    manifest: Path

    @classmethod
    def beside(cls, out: Path) -> "Files":
        stem = out.name.removesuffix(".jsonl")
        return cls(
            out, out.with_name(f"{stem}.errors.jsonl"), out.with_name(f"{stem}.manifest.json")
        )


def prepare(source: Path, files: Files, settings: dict[str, Any], *, force: bool) -> set[str]:
    """The ids that are answered already.

    Raises ValueError for an OUT that cannot be written, ResumeRefused for one of another job.
    """
    job = {"input_sha256": _sha256(source), **settings}
    if files.out.exists() and files.out.samefile(source):
        raise ValueError(f"{files.out} is the input; choose another output file")
    if files.out.exists() and files.out.stat().st_size and not files.manifest.exists():
        raise ValueError(f"{files.out} exists and was written by no batch job")
    if files.out.exists() and files.manifest.exists() and not force:
        refuse_another(files.out, read_manifest(files.manifest), job)
    try:
        files.out.parent.mkdir(parents=True, exist_ok=True)
        files.manifest.write_text(json.dumps(job, indent=1), encoding="utf-8")
        _cut_torn_line(files.out)
        files.errors.write_text("", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{files.out} cannot be written: {error}") from None
    return {line["custom_id"] for line in _lines(files.out)}


def price_for(budget: float, source: Path, files: Files, done: set[str]) -> Price:
    """The price that spends a job's budget of tokens, less what an earlier run has spent of it.

    The budget is a goal, held on average: the last few lines are not cut short for it. Raises
    ValueError when it is no positive number, or is spent already with lines to go.
    """
    spent = 0
    for line in _lines(files.out):
        spent += int((line["response"]["body"].get("usage") or {}).get("completion_tokens") or 0)
    left = count_lines(source) - len(done)
    if not 0 < budget < math.inf:
        raise ValueError(f"budget must be positive and finite, got {budget!r}")
    if left and spent >= budget:
        raise ValueError(f"budget is {budget:g} tokens, and {spent} are spent with {left} to go")
    return Price.for_job(max(1.0, budget - spent), left)


def count_lines(source: Path) -> int:
    with source.open("rb") as lines:
        return sum(bool(line.removeprefix(BOM_UTF8).strip()) for line in lines)


def _cut_torn_line(path: Path) -> None:
    """A killed run may have left half a line at the end."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        whole = 0
        for line in file:
            if line.endswith(b"\n"):
                whole += len(line)
        file.truncate(whole)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
