"""The study's settings are those the commands read; its tables are right for made-up outcomes."""

from pathlib import Path

import pytest

from training.curate.settings import read_settings as read_curation
from training.pocket.comparison import accuracy, block_table, class_table, difference, gain
from training.pocket.forcer import Thinking
from training.pocket.measure import (
    CAPS,
    WAITS,
    Measured,
    Outcomes,
    cap,
    kept,
    read_measured,
    waits,
)
from training.pocket.picture import plot_models
from training.pocket.pool import write_pool
from training.pocket.study import BASE, CUT_SETS, VARIANTS, Study, report
from training.pocket.study_files import SETS, curation, fine_tuning
from training.sft.settings import read_settings as read_fine_tuning

SETTINGS = (*map(waits, WAITS), *map(cap, CAPS))


def made(right: list[int], tokens: int = 50) -> Measured:
    """Ten questions of two classes, the same outcomes in every setting."""
    outcomes = Outcomes(right, [tokens + number for number in range(10)])
    return Measured(["easy"] * 5 + ["sum"] * 5, dict.fromkeys(SETTINGS, outcomes))


def test_the_settings_are_those_the_commands_read(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool.jsonl", 20, 0)
    (tmp_path / "curation.toml").write_text(curation(5, 3))
    settings = read_curation(tmp_path / "curation.toml")
    assert settings.select.sets == SETS
    assert settings.select.seed == 3
    assert settings.classify is not None and set(settings.classify.domains) >= {"easy", "sum"}
    file = tmp_path / "cut.toml"
    file.write_text(fine_tuning("s1-cut", "s1", learning_rate=1e-3, epochs=2, seed=1, block=90))
    cut = read_fine_tuning(file)
    assert cut.trained == tmp_path / "models" / "s1-cut" / "model"
    assert (cut.data.max_length, cut.data.long_rows) == (90, "cut")
    file.write_text(fine_tuning("s1", "s1", learning_rate=1e-3, epochs=2, seed=1, block=None))
    assert read_fine_tuning(file).data.long_rows == "refuse"


def test_a_difference_is_paired_by_question() -> None:
    better, worse = made([1] * 8 + [0] * 2), made([1] * 6 + [0] * 4)
    found = difference(better, worse, waits(0))
    assert found.mean == pytest.approx(0.2)
    # The differences are two ones and eight zeros: their deviation is 0.4216.
    assert found.half == pytest.approx(1.96 * 0.42164 / 10**0.5, abs=1e-4)
    assert difference(better, better, waits(0)) == (0, 0)
    assert accuracy(better, waits(0), "sum").mean == pytest.approx(0.6)
    assert gain(better, waits(4), waits(0)).mean == 0


def test_tables_have_a_row_for_every_model() -> None:
    models = {name: made([1] * 7 + [0] * 3) for name in (BASE, *(v.name for v in VARIANTS))}
    models["random"] = made([1] * 9 + [0])
    whole = class_table({name: models[name] for name in SETS}, "s1").splitlines()
    assert len(whole) == 2 + len(SETS)
    assert whole[2].startswith("| s1 | 100.0 → 100.0 | 40.0 → 40.0 | 70.0 → 70.0 |")
    assert "+20.0 [" in whole[3]
    cut = block_table({"s1": made([1] * 10), "s1-cut": made([0] * 10, 80)}, [("s1", "s1-cut")])
    assert "-100.0 [-100.0, -100.0]" in cut and "+30 ± 0" in cut
    assert report(models).count("\n| s1-cut |") == 1
    assert report(models).count("\n| s1 |") == 3


def test_outcomes_are_read_as_they_were_written(tmp_path: Path) -> None:
    measured = made([1, 0] * 5)
    measured.write(tmp_path / "a.json")
    assert read_measured(tmp_path / "a.json") == measured
    plot_models({"s1": measured, "base": made([0, 1] * 5)}, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_thoughts_are_made_once(tmp_path: Path) -> None:
    thoughts = [Thinking((3, 4), True), Thinking((5,), False)]
    path = tmp_path / "unfinished" / "0.json"
    assert kept(path, lambda: thoughts) == thoughts
    assert kept(path, lambda: []) == thoughts


def test_a_model_whose_settings_are_the_same_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[tuple[str, ...]] = []

    def run(study: Study, module: str, *arguments: str) -> None:
        commands.append(arguments)
        study.model(Path(arguments[2]).stem).mkdir(parents=True)

    monkeypatch.setattr(Study, "_run", run)
    variant = VARIANTS[0]
    Study(tmp_path).fine_tune(variant)
    Study(tmp_path).fine_tune(variant)
    assert commands == [("train", "sft", "s1.toml", "--in-process")]
    measured = tmp_path / "measured" / "s1.json"
    measured.parent.mkdir()
    measured.write_text("of the old model")
    mine, others = (measured.parent / "unfinished" / f"{name}-300" for name in ("s1", "s1-cut"))
    for folder in (mine, others):
        folder.mkdir(parents=True)
    Study(tmp_path, epochs=1).fine_tune(variant)
    assert len(commands) == 2 and not measured.exists()
    assert others.exists() and not mine.exists()
    assert {variant.rows for variant in VARIANTS if variant.is_cut} == set(CUT_SETS)
