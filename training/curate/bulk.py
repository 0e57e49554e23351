"""Applies a function to the rows of Parquet files, batch by batch, in order.

A `Mapper` runs it in this process, or on Ray Data (`ray_bulk.py`). The rows that come out are the
same and in the same order, however many processes and machines there are.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

BatchFunction = Callable[[pa.Table], pa.Table]
ROWS_PER_BATCH = 500


class Mapper(Protocol):
    """Where bulk stages run."""

    def share(self, value: Any) -> Callable[[], Any]:
        """A value that batch functions read where they run, by calling what this returns."""

    def __call__(
        self, files: Sequence[Path], function: BatchFunction, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """What the function makes of every batch; `columns` of None reads all."""


@dataclass(frozen=True, slots=True)
class Held:
    """A shared value within one process."""

    value: Any

    def __call__(self) -> Any:
        return self.value


class InProcess:
    """Runs batch functions in this process: for small pools and tests."""

    def share(self, value: Any) -> Callable[[], Any]:
        return Held(value)

    def __call__(
        self, files: Sequence[Path], function: BatchFunction, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        wanted = None if columns is None else list(columns)
        for path in files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(ROWS_PER_BATCH, columns=wanted):
                    yield function(pa.Table.from_batches([batch]))
