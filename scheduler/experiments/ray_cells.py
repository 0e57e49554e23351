"""Cells of engines that cost nothing as tasks on a Ray cluster. The only importer of `ray` here.

With RAY_ADDRESS set the tasks go to that cluster, else to all cores of this machine. They bring
their files back, so that only this process writes into the folder: no storage needs to be shared.
All machines need the same installation, and policy files of the user's own at the same place.
"""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import ray

from scheduler.experiments.cells import ExperimentCell
from scheduler.experiments.prepare import Prepared
from scheduler.experiments.runner import CellBases, asked_path, run_alone

OBJECT_STORE_BYTES = 256 << 20
CellFiles = dict[str, bytes]
"""By path relative to the experiment's folder."""


def on_ray(
    prepared: Prepared, cells: Sequence[ExperimentCell], folder: Path
) -> Iterator[ExperimentCell]:
    """Cells as they are completed. One that fails ends them all, and its error is raised."""
    task = ray.remote(_cell_files)
    with _joined():
        shared = ray.put(prepared)
        # The slowest policies, those that learn, tend to stand last: begin with them.
        running = {task.remote(shared, cell, os.getcwd()): cell for cell in reversed(cells)}
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            cell = running.pop(done)
            try:
                files = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            _write(files, asked_path(prepared, cell, folder), folder)
            yield cell


def _cell_files(prepared: Prepared, cell: ExperimentCell, place: str) -> CellFiles:
    """All files that a cell leaves, made in the folder that paths are relative to."""
    if Path(place).is_dir():
        os.chdir(place)
    with tempfile.TemporaryDirectory() as own:
        folder = Path(own)
        run_alone(_bases(prepared), cell, folder)
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


_kept: list[tuple[Prepared, CellBases]] = []


def _bases(prepared: Prepared) -> CellBases:
    """What the tasks of one process share; `prepared` is read anew for every task."""
    if not _kept or _kept[0][0].config != prepared.config:
        _kept[:] = [(prepared, CellBases(prepared))]
    return _kept[0][1]


def _write(files: CellFiles, last: Path, folder: Path) -> None:
    """A cell is complete when its rows are there, so they come last."""
    paths = {folder / name: text for name, text in files.items()}
    for path in sorted(paths, key=lambda each: each == last):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(paths[path])
        partial.replace(path)


@contextlib.contextmanager
def _joined() -> Iterator[None]:
    """Joins the cluster of RAY_ADDRESS, or starts Ray here; leaves it with the block."""
    was_there = ray.is_initialized()
    if not was_there:
        # Without "local", Ray would join any cluster that was started on this machine.
        own = {} if os.environ.get("RAY_ADDRESS") else {
            "address": "local", "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }  # fmt: skip
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
    try:
        yield
    finally:
        if not was_there:
            ray.shutdown()
