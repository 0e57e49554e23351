"""The files of the s1 study are whole, run on another engine, and give the paper's tables."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from scheduler.experiments.cells import all_cells
from scheduler.experiments.report import family
from scheduler.experiments.s1_study.runs import PARTS, of_family, runs_of
from scheduler.experiments.s1_study.tables import methods
from scheduler.experiments.settings import ExperimentConfig
from scheduler.settings import read_toml
from thinkbudget import main

STUDY = Path(__file__).parents[3] / "experiments" / "s1"
SMALL = STUDY / "pocket"


def families(file: Path) -> set[str]:
    return {family(label) for label in read_toml(file, ExperimentConfig).named_policies}


def test_every_part_has_a_file_for_each_model() -> None:
    for folder in (STUDY, SMALL):
        assert {file.stem for file in folder.glob("*.toml")} == {*PARTS}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_can_run_as_it_stands_and_is_the_same_for_both_models(part: str) -> None:
    large, small = STUDY / f"{part}.toml", SMALL / f"{part}.toml"
    assert families(large) <= families(small)
    for file in (large, small):
        config = read_toml(file, ExperimentConfig)
        assert len(all_cells(config)) >= len(config.named_policies)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_tells_what_it_takes(part: str) -> None:
    """With `--dry-run`, which loads its questions and checks its engine."""
    run = ["experiment", "run", str(SMALL / f"{part}.toml"), "--dry-run"]
    told = CliRunner().invoke(main, run)
    assert told.exit_code == 0, told.output
    labels = read_toml(SMALL / f"{part}.toml", ExperimentConfig).named_policies
    assert f"{len(labels)} cells" in told.output
    assert all(label in told.output for label in labels)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All parts on the simulated engine, which is one table of the file."""
    folder = tmp_path_factory.mktemp("study")
    for part in PARTS:
        text = (SMALL / f"{part}.toml").read_text("utf-8").replace("limit = ", "limit = 24 # ")
        table = 'kind = "vllm"\nmodel = "s1-pocket"'
        assert table in text
        (folder / "file.toml").write_text(text.replace(table, 'kind = "simulated"'), "utf-8")
        run = ["experiment", "run", str(folder / "file.toml"), "-o", str(folder / part)]
        done = CliRunner().invoke(main, [*run, "--processes", "1"])
        assert done.exit_code == 0, done.output
    return folder


def test_the_command_writes_the_papers_tables_and_figures(results: Path) -> None:
    done = CliRunner().invoke(main, ["experiment", "s1-study", str(results)])
    assert done.exit_code == 0, done.output
    told = (results / "report" / "tables.md").read_text("utf-8")
    for number in (3, 4, 11, 12, 13):
        assert f"### Table {number}: " in told
    for method in ("BF", "TCC", "TCC + BF", "SCC", "SCC + BF", "CCC", "RS"):
        assert f"\n| {method} |" in told
    for number in (1, 4, 6, 7):
        assert (results / "report" / f"figure_{number}.png").stat().st_size > 10_000


def test_forced_runs_keep_their_budgets_and_the_chosen_chain_is_measured(results: Path) -> None:
    from scheduler.experiments.s1_study.runs import read_study

    study = read_study(results)
    found = methods(study)
    for forced in ("BF", "TCC + BF", "SCC + BF", "RS"):
        assert all(run.is_within for run in found[forced]), forced
    for run in of_family(runs_of(study["rejection"]), "rejection"):
        assert run.thinking <= run.number
    for run in of_family(runs_of(study["forcing"]), "cap"):
        assert run.thinking <= run.number


def test_a_folder_without_the_study_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["experiment", "s1-study", str(tmp_path)])
    assert done.exit_code != 0
    assert "no part of the study in it; there are forcing" in done.output
