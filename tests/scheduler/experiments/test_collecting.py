"""What is collected once can be replayed with any policy, and gives what a live run gives."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from policies.collect import Collect
from policies.priced import Priced
from scheduler.experiments import runner
from scheduler.experiments.cells import all_cells
from scheduler.experiments.prepare import prepare
from scheduler.experiments.results import read_cell
from scheduler.experiments.settings import ExperimentConfig
from scheduler.settings import from_table
from tests.scheduler.experiments.test_runner import Steps
from thinkbudget import main

COUNT = 20


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("traces")
    command = ["collect", "simulated", "--engine", "simulated", "--limit", str(COUNT)]
    done = CliRunner().invoke(main, [*command, "--samples", "6", "-o", str(out)])
    assert done.exit_code == 0, done.output
    return out / "outcomes"


def rows(folder: Path, engine: dict[str, Any], **policies: Any) -> dict[str, list[dict[str, Any]]]:
    table: dict[str, Any] = {"policies": policies, "engine": engine}
    if engine["kind"] == "simulated":
        table |= {"limit": COUNT}
    config = from_table(ExperimentConfig, table)
    prepared = prepare(config)
    runner.run(prepared, prepared.cells, folder, Steps())
    return {cell.policy: read_cell(cell.path(folder)) for cell in all_cells(config)}


def test_a_trace_holds_all_chains(traces: Path) -> None:
    (log,) = traces.glob("*.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == COUNT
    for line in lines:
        greedy = [each for each in line["samples"] if each["temperature"] == 0]
        sampled = [each for each in line["samples"] if each["temperature"] != 0]
        assert [each["extensions"] for each in greedy] == [0, 1, 2, 3, 4, 5]
        extended = [each["extensions"] for each in sampled if each["chain"] == 1]
        assert (len(sampled), extended) == (6 + 5, [0, 1, 2, 3, 4, 5])
        assert all(each["confidence"] is not None for each in line["samples"])
        trials = [trial["thinking_tokens"] for each in sampled for trial in each["probes"]]
        assert trials and set(trials) <= {16, 32, 64, 128, 256, 512}


def test_greedy_chains_come_out_as_they_do_live(traces: Path, tmp_path: Path) -> None:
    """Greedy chains of the simulated engine are the same in every run."""
    grids = {
        "more": {"policy": "fixed", "extensions": [0, 3]},
        "less": {"policy": "fixed", "max_thinking_tokens": [16, 32, 64]},
    }
    live = rows(tmp_path / "live", {"kind": "simulated"}, **grids)
    again = rows(tmp_path / "again", {"kind": "replayed", "recording": str(traces)}, **grids)
    assert len(live) == 5
    for policy, found in live.items():
        told = {row["id"]: (row["answer"], row["correct"]) for row in found}
        assert told == {row["id"]: (row["answer"], row["correct"]) for row in again[policy]}


def test_every_kind_of_policy_can_be_replayed(traces: Path, tmp_path: Path) -> None:
    found = rows(
        tmp_path,
        {"kind": "replayed", "recording": str(traces)},
        votes={"policy": "majority", "samples": 6},
        exits={"policy": "dynasor", "probe_every": 32, "agree": 2},
        sure={"policy": "deepconf", "samples": 6},
        learned={"policy": "priced", "max_samples": 6, "max_extensions": 4},
    )
    for policy, told in found.items():
        assert [row["error"] for row in told] == [None] * COUNT, policy


def test_the_recording_that_ships_replays_every_policy_of_its_experiment(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    table = tomllib.loads((root / "experiments/replay.toml").read_text(encoding="utf-8"))
    table["engine"]["recording"] = str(root / table["engine"]["recording"])
    config = from_table(ExperimentConfig, table | {"limit": 5, "seeds": 1})
    prepared = prepare(config)
    runner.run(prepared, prepared.cells, tmp_path, Steps())
    found = {cell.policy: read_cell(cell.path(tmp_path)) for cell in all_cells(config)}
    assert len(found) >= 12
    assert [row["error"] for told in found.values() for row in told] == [None] * (5 * len(found))


def test_as_much_is_recorded_by_default_as_priced_may_ask_for() -> None:
    asked = Priced()
    assert Collect().samples >= asked.max_samples
    assert Collect().extensions >= asked.max_extensions
    given = {option.name: option.default for option in main.commands["collect"].params}
    assert (given["samples"], given["extensions"]) == (Collect().samples, Collect().extensions)


@pytest.mark.parametrize(
    ("policy", "flag"),
    [
        ({"policy": "majority", "samples": 7}, "--samples"),
        ({"policy": "fixed", "extensions": 6}, "--samples and --greedy"),
        ({"policy": "fixed", "max_thinking_tokens": 5}, "--max-thinking-tokens"),
    ],
)
def test_what_is_missing_is_told_with_how_to_record_it(
    traces: Path, tmp_path: Path, policy: dict[str, Any], flag: str
) -> None:
    engine = {"kind": "replayed", "recording": str(traces)}
    errors = [row["error"] for row in rows(tmp_path, engine, p=policy)["p"] if row["error"]]
    assert errors and all(f"`thinkbudget collect` records them ({flag}" in why for why in errors)


def test_nothing_to_collect_is_refused() -> None:
    with pytest.raises(ValueError, match="samples must be at least 1"):
        Collect(samples=0, greedy=False)
    assert Collect(samples=0).max_chains == 1
