"""Rows become examples once, and rows that cannot be trained are named before anything is spent."""

import json
from pathlib import Path
from typing import Any

import pytest

from training.sft.examples import load
from training.sft.run import check
from training.sft.settings import Data, FineTuning, Model

pytest.importorskip("datasets")
pq = pytest.importorskip("pyarrow.parquet")
pa = pytest.importorskip("pyarrow")

ROW = {"question": "1+1?", "thinking": "1 2", "attempt": "Final Answer: 2"}
LONG = {**ROW, "thinking": "1 2 " * 50}


def fine_tuning(folder: Path, rows: list[Any], **data: Any) -> FineTuning:
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return FineTuning(
        out=str(folder / "out"),
        model=Model(name="s1-pocket"),
        data=Data(**{"path": str(file), "max_length": 100, **data}),
    )


def test_examples_are_made_once_for_the_same_rows(tmp_path: Path) -> None:
    settings = fine_tuning(tmp_path, [ROW] * 70)
    first = check(settings)
    made = (settings.examples / "examples.arrow").stat().st_mtime_ns
    assert check(settings) == first
    assert (settings.examples / "examples.arrow").stat().st_mtime_ns == made
    assert first.rows == len(load(settings.examples)) == 70
    assert first.tokens == sum(load(settings.examples)["length"])
    other = check(fine_tuning(tmp_path, [ROW] * 3))
    assert (other.rows, other.hash == first.hash) == (3, False)


def test_a_row_longer_than_the_block_is_never_cut_silently(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"1 of 2 rows are longer than data.max_length 100, the"):
        check(fine_tuning(tmp_path, [ROW, LONG]))
    assert not (tmp_path / "out" / "examples").exists()
    cut = check(fine_tuning(tmp_path, [ROW, LONG], long_rows="cut"))
    assert (cut.rows, cut.cuts.cut_rows, cut.cuts.rows) == (2, 1, 2)
    assert max(load(tmp_path / "out" / "examples")["length"]) == 100
    dropped = check(fine_tuning(tmp_path, [ROW, LONG], long_rows="drop"))
    assert (dropped.rows, dropped.cuts.cut_rows) == (1, 1)
    with pytest.raises(ValueError, match="every row is longer"):
        check(fine_tuning(tmp_path, [LONG], long_rows="drop"))


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"question": "q", "attempt": "a"}], r"row 1: there is no column 'thinking', it has"),
        ([{**ROW, "thinking": None}], "row 1: thinking must be text, got None"),
        ([ROW, {**ROW, "thinking": " "}], "1 rows cannot be trained: rows.jsonl row 2: thinking"),
        ([{**ROW, "attempt": ""}] * 5, "5 rows cannot be trained.*and 2 more"),
        ([], "has no rows"),
        ([3], "must be an object, got '3"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, rows: list[Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check(fine_tuning(tmp_path, rows))


@pytest.mark.parametrize(
    ("path", "why"),
    [("none", "no such file"), (".", "no Parquet files"), ("rows.csv", "must end in")],
)
def test_a_path_without_rows_is_named(tmp_path: Path, path: str, why: str) -> None:
    (tmp_path / "rows.csv").touch()
    settings = fine_tuning(tmp_path, [ROW])
    with pytest.raises(ValueError, match=why):
        check(FineTuning(settings.out, settings.model, Data(path=str(tmp_path / path))))


def test_what_curate_writes_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "select-s1"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist([ROW, ROW]), folder / "part-00000.parquet")
    pq.write_table(pa.Table.from_pylist([{"key": "x"}]), folder / "dropped.parquet")
    assert check(fine_tuning(tmp_path, [ROW], path=str(folder))).rows == 2
    (folder / "part-00001.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match=r"part-00001\.parquet"):
        check(fine_tuning(tmp_path, [ROW], path=str(folder)))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ({"name": "./none"}, "there is no such folder"),
        ({"name": "s1-pocket", "format": "think-tags"}, "the stop '</think>' is 4 tokens"),
        ({"name": "no/such-model"}, "model.name 'no/such-model'"),
    ],
)
def test_a_model_that_cannot_be_trained_is_named(
    tmp_path: Path, model: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    settings = fine_tuning(tmp_path, [ROW])
    with pytest.raises(ValueError, match=why):
        check(FineTuning(settings.out, Model(**model), settings.data))


def test_rows_beyond_what_the_model_takes_are_refused(tmp_path: Path) -> None:
    settings = fine_tuning(tmp_path, [{**ROW, "thinking": "1 2 " * 800}], max_length=4000)
    with pytest.raises(ValueError, match=r"and model 's1-pocket' takes 2048"):
        check(settings)
