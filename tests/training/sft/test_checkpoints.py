"""Only whole checkpoints are gone on from, and those that were damaged are named."""

import json
from pathlib import Path

import pytest

from training.sft.checkpoints import FoundCheckpoint, last_whole, seal
from training.sft.deepspeed_config import merged
from training.sft.universal import fitting


def written(root: Path, step: int, *, sealed: bool = True) -> Path:
    folder = root / f"checkpoint-{step}"
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "weights").write_bytes(b"x" * step)
    if sealed:
        seal(folder, workers=2, zero_stage=3)
    return folder


def test_the_newest_whole_one_is_found_and_cut_ones_are_removed(tmp_path: Path) -> None:
    assert last_whole(tmp_path) is None
    written(tmp_path, 9)
    wanted = written(tmp_path, 10)
    cut = written(tmp_path, 11, sealed=False)
    (tmp_path / "any-workers-10").mkdir()
    found = last_whole(tmp_path)
    assert found == (wanted, 10, 2, 3, False)
    assert not cut.exists()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda file: file.unlink(), "weights is missing"),
        (lambda file: file.write_bytes(b"xx"), "weights has 2 bytes, it had 10"),
    ],
)
def test_a_corrupt_checkpoint_is_named(tmp_path: Path, damage: object, why: str) -> None:
    folder = written(tmp_path, 10)
    assert callable(damage)
    damage(folder / "state" / "weights")
    with pytest.raises(ValueError, match=f"corrupt: .*{why}; remove the folder .*checkpoint-10"):
        last_whole(tmp_path)


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    (written(tmp_path, 1) / "whole.json").write_text(json.dumps({})[:1])
    with pytest.raises(ValueError, match="whole.json"):
        last_whole(tmp_path)


def test_without_zero_only_the_same_workers_go_on(tmp_path: Path) -> None:
    found = FoundCheckpoint(tmp_path, 10, workers=1, zero_stage=0)
    assert fitting(found, 1, 0) is found
    with pytest.raises(ValueError, match="1 workers at ZeRO stage 0: 2 workers at stage 2 cannot"):
        fitting(found, 2, 2)


def test_tables_are_merged_to_any_depth() -> None:
    base = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    over = {"a": {"c": {"d": 4, "f": 5}}, "e": {"g": 6}}
    assert merged(base, over) == {"a": {"b": 1, "c": {"d": 4, "f": 5}}, "e": {"g": 6}}
