"""Learned curves are shown, drawn and exported as people read them."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from scheduler.curves.store import CurveStore
from scheduler.curves.wal import save
from scheduler.experiments.curve_tables import (
    COLUMNS,
    export,
    learned_curves,
    read,
    read_curves,
    show,
)
from tests.scheduler.observations import chain, votes
from thinkbudget import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    book = CurveStore()
    words = chain(query_class="words", right=False)
    for seen in [chain(is_exploration=False), votes(), words, votes(answers="7777")]:
        book.observe(seen)
    save(book, tmp_path / "curves.json")
    return tmp_path / "curves.json"


def test_every_class_is_shown_with_what_is_best_and_what_else_there_is(path: Path) -> None:
    text = show(read(path))
    sums, words = text.split("\n\n")
    assert sums.startswith("sums (m): 3 queries, 3 of known answer\n  best at 3.0e-04 a token: ")
    assert words.startswith("words (m): 1 queries")
    assert "1 extensions" in sums and "16 votes" in sums and "thinking tokens at most" in sums
    assert "3 votes" not in sums


def test_it_is_told_how_many_answers_were_right(path: Path) -> None:
    sums, _ = show(read(path)).split("\n\n")
    told = next(line for line in sums.splitlines() if "served by extend" in line)
    assert "100.0% right" in told and told.endswith("at any time, 1 of 1 answers checked")


def test_every_point_is_exported(path: Path) -> None:
    classes = read(path)
    rows = list(csv.DictReader(export(classes).splitlines()))
    assert len(rows) == sum(len(line["curve"]["points"]) for line in classes)
    assert tuple(rows[0]) == COLUMNS
    for row in rows:
        assert 0 <= float(row["low"]) <= float(row["accuracy"]) <= float(row["high"]) <= 1


def test_a_folder_is_read_as_the_curves_in_it(path: Path) -> None:
    assert [line["class"] for line in read(path.parent)] == ["sums", "words"]


def test_the_commands_tell_the_same(path: Path) -> None:
    runner, picture = CliRunner(), path.parent / "curves.png"
    assert runner.invoke(main, ["curves", "show", str(path)]).output == show(read(path)) + "\n"
    assert runner.invoke(main, ["curves", "export", str(path)]).output == export(read(path))
    drawn = runner.invoke(main, ["curves", "plot", str(path), "-o", str(picture)])
    assert drawn.exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"classes": 3}', '{"classes": [{}]}', '{"classes": []}']
)
def test_a_file_without_curves_is_told_by_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(main, ["curves", "show", str(path)])
    assert result.exit_code == 2
    assert "other.json" in result.output


def test_a_value_that_is_missing_is_named(path: Path) -> None:
    stored = json.loads(path.read_text(encoding="utf-8"))
    del stored["classes"][0]["curve"]["points"][0]["low"]
    path.write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(ValueError, match="'low'"):
        read(path)


def test_a_class_that_has_no_curve_yet_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    path = tmp_path / "cells" / "e~q~priced~0.curves.json"
    path.write_text(json.dumps({"classes": [{"model": "m", "class": "new", "curve": None}]}))
    assert read_curves(tmp_path) == []
    assert learned_curves(tmp_path) == []
    with pytest.raises(ValueError, match="no curve was learned yet"):
        read(path)
