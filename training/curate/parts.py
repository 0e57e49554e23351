"""The Parquet files of a stage: parts of a fixed number of rows, whatever batches they came in."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.curate.manifest import file_hash
from training.curate.rows import COLUMNS, DROPPED

ROWS_PER_PART = 2000
DROPPED_AT_ONCE = 10_000
_DROPPED_SCHEMA = pa.schema([(name, pa.string()) for name in ("key", "source", "reason")])


def part_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def count_rows(files: Sequence[Path]) -> int:
    return sum(pq.ParquetFile(path).metadata.num_rows for path in files)


def read_parts(files: Sequence[Path], columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The parts one by one; `columns` of None are all."""
    for path in files:
        yield pq.read_table(path, columns=None if columns is None else list(columns))


def read_column(files: Sequence[Path], name: str) -> list[Any]:
    return [value for part in read_parts(files, [name]) for value in part[name].to_pylist()]


class PartWriter:
    """Writes the rows that stay to `part-*.parquet`, and those that go to `dropped.parquet`.

    A row goes if its column `dropped` holds a reason. Holds at most one part in memory.
    """

    def __init__(self, folder: Path, rows_per_part: int = ROWS_PER_PART) -> None:
        self._folder, self._rows_per_part = folder, rows_per_part
        self._waiting: list[pa.Table] = []
        self._going: list[pa.Table] = []
        self._held = self._parts = 0
        self._gone = pq.ParquetWriter(folder / "dropped.parquet", _DROPPED_SCHEMA)
        self.rows_in = self.rows_out = 0
        self.reasons: Counter[str] = Counter()
        self.notes: dict[str, Any] = {}
        self.outputs: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.end_part()
            self._write_gone(1)
        self._gone.close()
        if error is None:
            name = "dropped.parquet"
            self.outputs[name] = file_hash(self._folder / name)

    def write(self, table: pa.Table) -> None:
        """Take a batch; columns that are not of COLUMNS are left out."""
        self.rows_in += table.num_rows
        if DROPPED in table.column_names:
            table = self._without_dropped(table)
        table = table.select([name for name in COLUMNS if name in table.column_names])
        self.rows_out += table.num_rows
        self._waiting.append(table)
        self._held += table.num_rows
        while self._held >= self._rows_per_part:
            self._flush(self._rows_per_part)

    def end_part(self) -> None:
        """Begin a new part: no part holds rows of two sources."""
        if self._held:
            self._flush(self._held)

    def _without_dropped(self, table: pa.Table) -> pa.Table:
        stays = pc.is_null(table[DROPPED])
        gone = table.filter(pc.invert(stays))
        if gone.num_rows:
            self.reasons.update(gone[DROPPED].to_pylist())
            gone = pa.table([gone["key"], gone["source"], gone[DROPPED]], schema=_DROPPED_SCHEMA)
            self._going.append(gone)
            self._write_gone(DROPPED_AT_ONCE)
        return table.filter(stays)

    def _write_gone(self, at_once: int) -> None:
        """Write what was dropped, `at_once` rows or more at a time: files do not show batches."""
        while sum(table.num_rows for table in self._going) >= at_once:
            whole = pa.concat_tables(self._going)
            self._gone.write_table(whole.slice(0, DROPPED_AT_ONCE).combine_chunks())
            self._going = [whole.slice(DROPPED_AT_ONCE)]

    def _flush(self, rows: int) -> None:
        whole = pa.concat_tables(self._waiting)
        part, rest = whole.slice(0, rows), whole.slice(rows)
        path = self._folder / f"part-{self._parts:05d}.parquet"
        pq.write_table(part.combine_chunks(), path, compression="zstd", row_group_size=rows)
        self.outputs[path.name] = file_hash(path)
        self._waiting = [rest] if rest.num_rows else []
        self._held = rest.num_rows
        self._parts += 1
