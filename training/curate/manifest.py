"""What a stage was made of and what became of its rows: the file beside its Parquet files.

A stage is current where its settings, its inputs and its outputs have the hashes of its manifest.
What is not current is made anew, never added to.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

RECIPE = 1
"""Raised when a stage gives other rows for the same settings."""
NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """`rows_in` = `rows_out` + the sum of `dropped`, which counts rows by reason.

    `inputs` and `outputs` are SHA-256 by name; `notes` is what else the stage counted.
    """

    stage: str
    recipe: int
    settings: dict[str, Any]
    inputs: dict[str, str]
    rows_in: int
    rows_out: int
    dropped: dict[str, int]
    outputs: dict[str, str]
    notes: dict[str, Any]

    def matches(self, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> bool:
        """Whether the stage would be made of the same again."""
        made_of = (self.recipe, self.settings, self.inputs)
        return made_of == (RECIPE, plain(settings), dict(inputs))

    def write(self, folder: Path) -> None:
        text = json.dumps(asdict(self), indent=2, sort_keys=True)
        (folder / NAME).write_text(f"{text}\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a stage's folder; None if there is none that can be read."""
    try:
        return Manifest(**json.loads((folder / NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def are_whole(folder: Path, hashes: Mapping[str, str]) -> bool:
    """Whether the files of a folder are there and have these hashes."""
    return all((folder / n).is_file() and file_hash(folder / n) == h for n, h in hashes.items())


def file_hash(path: Path) -> str:
    """The SHA-256 of a file; read anew only if its size, time or place have changed."""
    seen = path.stat()
    return _file_hash(path.resolve(), seen.st_ino, seen.st_size, seen.st_mtime_ns)


@lru_cache(maxsize=1 << 16)
def _file_hash(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(value: Any) -> Any:
    """A value as it is after JSON: tuples are lists, keys are text."""
    return json.loads(json.dumps(value, sort_keys=True))
