"""Input files by kind: JSON lines, CSV, TSV and Parquet, the text ones also as gzip.

Rows are read one at a time. What is wrong with a row is that row's error; only a file that is of
another kind than all of these is refused as a whole, by its name.
"""

import csv
import gzip
import io
import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from scheduler.batch.inputs.columns import Columns, has_prompt, read_record
from scheduler.batch.inputs.openai_lines import read_line, readable_id
from scheduler.batch.inputs.row import BadRow, Row
from scheduler.batch.storage import Location
from scheduler.errors import InvalidRequest
from scheduler.json_body import parse_json

MOST_LINE_BYTES = 64 << 20
_BATCH_ROWS = 256
# What files begin with that are none of ours, and what they are.
_FOREIGN = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x1f\x9d": "compressed by compress",
    b"SQLite format": "an SQLite database",
    b"ARROW1": "an Arrow file",
    b"%PDF": "a PDF",
}
_SEPARATORS = {"csv": ",", "tsv": "\t"}


def kind_of(source: Location) -> str:
    """ "jsonl", "csv", "tsv" or "parquet", by the first bytes and then by the name.

    Raises ValueError for a file of another kind, OSError for one that cannot be read.
    """
    with source.open() as file:
        head = file.read(16)
    if what := next((what for magic, what in _FOREIGN.items() if head.startswith(magic)), None):
        raise ValueError(
            f"{source} is {what}; a job reads JSON lines, CSV, TSV and Parquet, and gzip of texts"
        )
    if head.startswith(b"PAR1"):
        return "parquet"
    name = source.name.lower().removesuffix(".gz")
    if name.endswith((".parquet", ".pq")) and head:
        raise ValueError(f"{source} is named as Parquet, and is none")
    return next((kind for kind in _SEPARATORS if name.endswith(f".{kind}")), "jsonl")


def read_rows(source: Location, columns: Columns | None = None) -> Iterator[Row | BadRow]:
    """Every row that is not blank, in the order of the file."""
    columns, kind = columns or Columns(), kind_of(source)
    if kind == "parquet":
        yield from _parquet(source, columns)
    elif kind == "jsonl":
        yield from _json_lines(source, columns)
    else:
        yield from _separated(source, columns, _SEPARATORS[kind])


def count_rows(source: Location, columns: Columns | None = None) -> int:
    """How many rows `read_rows` gives, those in error too."""
    kind = kind_of(source)
    if kind == "parquet":
        import pyarrow.parquet as parquet

        with source.open() as file:
            return int(parquet.ParquetFile(file).metadata.num_rows)
    if kind == "jsonl":
        with _text(source) as lines:
            return sum(1 for _, raw in _lines(lines) if raw is None or raw.strip())
    return sum(1 for _ in _separated(source, columns or Columns(), _SEPARATORS[kind]))


def _json_lines(source: Location, columns: Columns) -> Iterator[Row | BadRow]:
    with _text(source) as lines:
        for number, raw in _lines(lines):
            if raw is None:
                yield BadRow(number, None, _too_long())
            elif raw.strip():
                try:
                    yield _json_row(raw, columns, number)
                except InvalidRequest as error:
                    yield BadRow(number, readable_id(raw), error)


def _json_row(raw: bytes, columns: Columns, number: int) -> Row:
    line = parse_json(raw)
    if not isinstance(line, dict):
        raise InvalidRequest("the line must be a JSON object", field=None, code="invalid_json")
    if "body" not in line and has_prompt(line, columns):
        return read_record(line, columns, number)
    return read_line(line, number)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Lines by number, without byte order marks; None for one that is longer than any may be."""
    number = 0
    while raw := file.readline(MOST_LINE_BYTES):
        number += 1
        if len(raw) < MOST_LINE_BYTES or raw.endswith(b"\n"):
            yield number, raw.removeprefix(BOM_UTF8)
            continue
        while (more := file.readline(MOST_LINE_BYTES)) and not more.endswith(b"\n"):
            pass
        yield number, None


def _separated(source: Location, columns: Columns, separator: str) -> Iterator[Row | BadRow]:
    csv.field_size_limit(min(sys.maxsize, MOST_LINE_BYTES))
    with _text(source) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.DictReader(text, delimiter=separator)
        head = reader.fieldnames or ()
        if head and not has_prompt(dict.fromkeys(head), columns):
            raise ValueError(
                f"{source} has no column {' or '.join(columns.prompt)}; it has {', '.join(head)}"
            )
        number = 0
        while True:
            number += 1
            try:
                record = next(reader, None)
                if record is None:
                    return
                yield read_record({k: v for k, v in record.items() if k}, columns, number)
            except csv.Error as error:
                bad = InvalidRequest(f"the row is not CSV: {error}", field=None)
                yield BadRow(number, None, bad)
            except InvalidRequest as error:
                yield BadRow(number, _id_in(record, columns), error)


def _parquet(source: Location, columns: Columns) -> Iterator[Row | BadRow]:
    import pyarrow.parquet as parquet

    with source.open() as file:
        try:
            table = parquet.ParquetFile(file)
        except Exception as error:
            raise ValueError(f"{source} is no whole Parquet file: {error}") from None
        head = table.schema_arrow.names
        if not has_prompt(dict.fromkeys(head), columns):
            raise ValueError(
                f"{source} has no column {' or '.join(columns.prompt)}; it has {', '.join(head)}"
            )
        wanted = [name for name in head if any(name in part for part in columns)]
        number = 0
        for batch in table.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            for record in batch.to_pylist():
                number += 1
                try:
                    yield read_record(record, columns, number)
                except InvalidRequest as error:
                    yield BadRow(number, _id_in(record, columns), error)


def _id_in(record: dict[str, Any] | None, columns: Columns) -> str | None:
    found = next((record[name] for name in columns.custom_id if record and record.get(name)), None)
    return found if isinstance(found, str) else None


@contextmanager
def _text(source: Location) -> Iterator[IO[bytes]]:
    """A text file, unpacked where it is gzip. Raises ValueError where that breaks off."""
    with source.open() as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(IO[bytes], unpacked)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{source} is no whole gzip file: {error}") from None


def _too_long() -> InvalidRequest:
    message = f"the line is longer than {MOST_LINE_BYTES >> 20} MiB"
    return InvalidRequest(message, field=None, code="request_too_large")
