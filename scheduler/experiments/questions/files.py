"""Rows of a local file: JSON lines, CSV or Parquet, each with its place for messages."""

import codecs
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUFFIXES = (".jsonl", ".csv", ".parquet")
# The longer marks first: that of UTF-16 is the beginning of that of UTF-32.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}

FileRow = dict[str, Any]


def file_rows(path: Path) -> Iterator[tuple[str, FileRow]]:
    """Raises ValueError that names the file, and the line if there is one."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(f"questions {str(path)!r}: {error.strerror}") from None
    match path.suffix:
        case ".parquet":
            yield from _parquet(raw, path)
        case ".csv":
            yield from _csv(_text(raw, path), path)
        case _:
            yield from _json_lines(_text(raw, path), path)


def _json_lines(text: str, path: Path) -> Iterator[tuple[str, FileRow]]:
    # Not splitlines: JSON may hold other ends of line, such as U+2028, as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{place}: not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise ValueError(f"{place}: must be an object with a question and an answer")
        yield place, fields


def _csv(text: str, path: Path) -> Iterator[tuple[str, FileRow]]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    for row in rows:
        if None in row:
            raise ValueError(f"{path}:{rows.line_num}: more fields than columns")
        yield f"{path}:{rows.line_num}", dict(row)


def _parquet(raw: bytes, path: Path) -> Iterator[tuple[str, FileRow]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(raw))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not Parquet: {error}") from None
    for number, row in enumerate(table.to_pylist(), start=1):
        yield f"{path}: row {number}", row


def _text(raw: bytes, path: Path) -> str:
    """A file's text; raises ValueError that names the encoding it seems to have."""
    for mark, encoding in _MARKS.items():
        if raw.startswith(mark):
            raise ValueError(f"questions {str(path)!r}: it is {encoding}; it must be UTF-8")
    try:
        return raw.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        number = 1 + raw.count(b"\n", 0, error.start)
        raise ValueError(
            f"{path}:{number}: byte 0x{raw[error.start]:02x} is not UTF-8, which it must be"
        ) from None
