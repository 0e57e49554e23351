"""Work on a Ray cluster of two nodes: the same files as in one process, byte for byte."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.experiments.prepare import prepare
from scheduler.experiments.results import write_results
from scheduler.experiments.runner import missing, run
from scheduler.experiments.settings import ExperimentConfig
from scheduler.settings import from_table
from training.curate import synthetic
from training.curate.bulk import InProcess, Mapper
from training.curate.manifest import file_hash
from training.curate.pipeline import Pipeline, steps
from training.curate.settings import (
    Classify,
    Curation,
    Decontaminate,
    Difficulty,
    Endpoint,
    Quality,
    Questions,
    Select,
    SetName,
    Traces,
)
from workers.models import POCKET_FOLDER

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

ROWS = 300
SETS: tuple[SetName, ...] = ("s1", "random", "diverse", "longest")


def model(skill: str) -> Endpoint:
    return Endpoint(skill, prompt_price=0, completion_price=0)


def curation(folder: Path, out: str) -> Curation:
    return Curation(
        out=str(folder / out),
        sources=tuple(Questions(name, str(folder / f"{name}.jsonl")) for name in "abc"),
        decontaminate=Decontaminate((Questions("MATH500", str(folder / "tests.jsonl")),)),
        traces=Traces(model("0.9")),
        quality=Quality(str(POCKET_FOLDER)),
        classify=Classify(model("1")),
        difficulty=Difficulty({"weak": model("0.3")}),
        select=Select(sets=SETS, size=30, uniform_until=20),
    )


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sources; the last repeats some questions of the first, which has some of the tests."""
    first = list(synthetic.pool(ROWS, seed=0))
    write(tmp_path / "a.jsonl", first)
    write(tmp_path / "b.jsonl", list(synthetic.pool(ROWS, seed=1)))
    write(tmp_path / "c.jsonl", [*synthetic.pool(ROWS, seed=2), *first[10:20]])
    write(tmp_path / "tests.jsonl", [{"problem": row["question"]} for row in first[:5]])
    return tmp_path


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    logging.getLogger("ray").setLevel(logging.ERROR)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_ADDRESS", cluster.address)
        yield
    ray.shutdown()
    cluster.shutdown()


def hashes(settings: Curation, mapper: Mapper) -> dict[str, str]:
    """What every step writes, by its place, after all of them were run."""
    pipeline = Pipeline(settings, mapper, synthetic.connect)
    for step in steps(settings, "all"):
        pipeline.run(step)
    files = sorted(settings.folder.rglob("*.parquet"))
    return {str(file.relative_to(settings.folder)): file_hash(file) for file in files}


def test_a_curation_comes_out_the_same(folder: Path, two_nodes: None) -> None:
    import ray

    from training.curate.ray_bulk import joined

    alone = hashes(curation(folder, "alone"), InProcess())
    with joined() as mapper:
        assert sum(node["Alive"] for node in ray.nodes()) == 2
        assert hashes(curation(folder, "cluster"), mapper) == alone
    assert len(alone) > 2 * len(SETS)


EXPERIMENT = {
    "engine": {"kind": "simulated"},
    "limit": 20,
    "seeds": 2,
    "outcomes": True,
    "policies": {
        "votes": {"policy": "majority", "samples": [1, 3]},
        "learned": {"policy": "priced"},
    },
}


class Steps:
    """A progress bar that nobody sees; it stops the run as a kill would, if told to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.count = 0
        self.stop_at = stop_at

    def advance(self, note: str = "") -> None:
        self.count += 1
        if self.count == self.stop_at:
            raise KeyboardInterrupt


def files(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_an_experiment_comes_out_the_same_also_when_it_was_stopped(
    tmp_path: Path, two_nodes: None
) -> None:
    from scheduler.experiments.ray_cells import on_ray

    prepared = prepare(from_table(ExperimentConfig, EXPERIMENT))
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    run(prepared, prepared.cells, alone, Steps(), processes=1)
    with pytest.raises(KeyboardInterrupt):
        run(prepared, prepared.cells, spread, Steps(stop_at=50), spread=on_ray)
    todo = missing(prepared, spread)
    assert 0 < len(todo) < len(prepared.cells) == 6
    steps = Steps()
    run(prepared, todo, spread, steps, spread=on_ray)
    assert steps.count == 20 * len(todo)
    for folder in (alone, spread):
        write_results(folder, [cell.path(folder) for cell in prepared.cells])
    assert files(spread) == files(alone)
