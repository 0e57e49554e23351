"""Reads the rows of a training set: what `thinkbudget curate` writes, or one's own file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from training.sft.settings import Data


class TrainingRow(NamedTuple):
    """`place` names the row in messages: its file and its number, from 1."""

    place: str
    question: str
    thinking: str
    answer: str


def files_of(path: Path) -> list[Path]:
    """The files of a set in order. Raises ValueError if there are none."""
    if path.is_dir():
        files = sorted(path.glob("part-*.parquet")) or sorted(
            file for file in path.glob("*.parquet") if file.name != "dropped.parquet"
        )
        if not files:
            raise ValueError(f"data.path {str(path)!r}: the folder has no Parquet files")
        return files
    if not path.is_file():
        raise ValueError(f"data.path {str(path)!r}: there is no such file or folder")
    if path.suffix not in (".parquet", ".jsonl"):
        raise ValueError(f"data.path {str(path)!r} must end in .parquet or .jsonl, or be a folder")
    return [path]


def rows_of(data: Data) -> Iterator[TrainingRow]:
    """The rows of a set. Raises ValueError that names the file, the row and what is wrong."""
    names = (data.question, data.thinking, data.answer)
    for file in files_of(Path(data.path)):
        read = _parquet if file.suffix == ".parquet" else _json_lines
        for number, row in enumerate(read(file), 1):
            place = f"{file.name} row {number}"
            for name in names:
                if name not in row:
                    has = ", ".join(map(repr, row))
                    raise ValueError(f"{place}: there is no column {name!r}, it has {has}")
                if not isinstance(row[name], str):
                    raise ValueError(f"{place}: {name} must be text, got {row[name]!r}")
            yield TrainingRow(place, *(row[name] for name in names))


def _parquet(file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as parquet
    from pyarrow import ArrowException

    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=256):
            yield from batch.to_pylist()
    except ArrowException as error:
        raise ValueError(f"{file.name}: {error}") from None


def _json_lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{file.name} line {number}: {error}") from None
            if not isinstance(row, dict):
                raise ValueError(f"{file.name} line {number} must be an object, got {line[:40]!r}")
            yield row
