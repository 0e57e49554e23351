"""Runs batch functions on Ray Data. The only importer of `ray.data`.

With RAY_ADDRESS set the work goes to that cluster, else to all cores of this machine. A cluster of
several machines needs the output folder on shared storage, and the same installation everywhere.

A task is a file, and reads it by itself, batch by batch. Ray's reader of Parquet files would start
up to 32 processes for their footers, and hold whole blocks.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.data

from training.curate.bulk import BatchFunction, InProcess

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
        if not files:
            return
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        context.target_max_block_size = BLOCK_BYTES
        names = [str(path.resolve()) for path in files]
        tasks = ray.data.from_items(names, override_num_blocks=len(names))
        wanted = None if columns is None else list(columns)
        made = tasks.map_batches(
            partial(_of_file, function, wanted), batch_format="numpy", batch_size=1
        )
        yield from made.iter_batches(batch_format="pyarrow", batch_size=None)


def _of_file(
    function: BatchFunction, columns: list[str] | None, task: dict[str, Any]
) -> Iterator[pa.Table]:
    (name,) = task["item"]
    yield from InProcess()([Path(str(name))], function, columns)


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
