"""The checkpoints of a training run: which one is whole, and for which number of workers it is.

The Trainer writes a checkpoint file by file. The last file is ours: it lists the others and their
sizes. A folder without it was cut short, and is removed.
"""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

NOTE = "whole.json"


class FoundCheckpoint(NamedTuple):
    """A whole checkpoint: its folder, the steps done, and who wrote it.

    `universal` says that it is converted, and read by any number of workers.
    """

    folder: Path
    step: int
    workers: int
    zero_stage: int
    universal: bool = False


def seal(folder: Path, *, workers: int, zero_stage: int) -> None:
    """Say that a checkpoint is whole: all its files are written."""
    sizes = {
        str(file.relative_to(folder)): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    note = {"workers": workers, "zero_stage": zero_stage, "files": sizes}
    partial = folder / f".{NOTE}"
    partial.write_text(json.dumps(note))
    partial.rename(folder / NOTE)


def last_whole(root: Path) -> FoundCheckpoint | None:
    """The newest whole checkpoint; those that were cut short are removed.

    Raises ValueError for one that was whole once and has lost files or bytes since.
    """
    for step, folder in sorted(_folders(root), reverse=True):
        try:
            note = json.loads((folder / NOTE).read_text())
        except FileNotFoundError:
            shutil.rmtree(folder)
            continue
        except ValueError as error:
            raise ValueError(f"{folder / NOTE}: {error}; remove the folder {folder}") from None
        for name, size in note["files"].items():
            file = folder / name
            now = file.stat().st_size if file.is_file() else None
            if now != size:
                has = "is missing" if now is None else f"has {now} bytes, it had {size}"
                raise ValueError(
                    f"the checkpoint is corrupt: {file} {has}; remove the folder {folder} to go "
                    "on from the one before"
                )
        return FoundCheckpoint(folder, step, note["workers"], note["zero_stage"])
    return None


def _folders(root: Path) -> list[tuple[int, Path]]:
    found = []
    for folder in root.glob("checkpoint-*"):
        number = folder.name.removeprefix("checkpoint-")
        if folder.is_dir() and number.isdigit():
            found.append((int(number), folder))
    return found
