"""Runs batch functions on Ray Data. The only importer of `ray.data`.

With RAY_ADDRESS set the work goes to that cluster, else to all cores of this machine. A cluster of
several machines needs the output folder on shared storage, and the same installation everywhere.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.data

from training.curate.bulk import ROWS_PER_BATCH, BatchFunction

OBJECT_STORE_BYTES = 512 << 20
BLOCK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Shared:
    """A value in Ray's object store; arrays are read there without a copy."""

    reference: Any

    def __call__(self) -> Any:
        return ray.get(self.reference)


class OnRay:
    """Runs batch functions in the processes of a Ray cluster that has been joined."""

    def share(self, value: Any) -> Callable[[], Any]:
        return Shared(ray.put(value))

    def __call__(
        self, files: Sequence[Path], function: BatchFunction, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        context.target_max_block_size = BLOCK_BYTES
        rows = ray.data.read_parquet(
            [str(path.resolve()) for path in files],
            columns=None if columns is None else list(columns),
            override_num_blocks=len(files),
        )
        made = rows.map_batches(function, batch_format="pyarrow", batch_size=ROWS_PER_BATCH)
        yield from made.iter_batches(batch_format="pyarrow", batch_size=None)


@contextmanager
def joined() -> Iterator[OnRay]:
    """Joins the cluster of RAY_ADDRESS, or starts Ray here; leaves it with the block."""
    if not ray.is_initialized():
        own = {} if os.environ.get("RAY_ADDRESS") else _on_one_machine()
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield OnRay()
    finally:
        ray.shutdown()


def _on_one_machine() -> dict[str, Any]:
    # Without "local", Ray would join any cluster that was started on this machine.
    return {
        "address": "local",
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
