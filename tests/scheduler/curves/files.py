"""The files of a curve store, as a killed process leaves them."""

import shutil
from pathlib import Path


def copied(path: Path) -> Path:
    """A copy of the snapshot and of the log as they are now, in a folder of their own."""
    folder = path.parent / "killed"
    folder.mkdir()
    for file in (path, path.with_name(path.name + ".log")):
        shutil.copy(file, folder / file.name)
    return folder / path.name
