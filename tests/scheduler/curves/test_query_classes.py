"""Queries that declare no class get one by how they read, and the same every time."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from scheduler.api.chat import prepare
from scheduler.cli.curves_command import questions
from scheduler.curves.query_classes import QueryClasses, fit, sizes
from tests.scheduler.simulation import chat, make_controller
from thinkbudget import main

FORMS = {
    "sum": "What is the sum of {} and {}? Show every step.",
    "capital": "Which city is the capital of country number {} on page {} of the atlas?",
    "poem": "Write line {} of a short poem about {} winters by the sea.",
}


def asked(count: int, seed: int = 0) -> list[tuple[str, str]]:
    rng = Random(seed)
    kinds = [rng.choice(list(FORMS)) for _ in range(count)]
    return [(k, FORMS[k].format(rng.randrange(1000), rng.randrange(1000))) for k in kinds]


@pytest.fixture(scope="module")
def fitted() -> QueryClasses:
    return fit([text for _, text in asked(150)], 3)


def test_questions_that_read_alike_are_of_one_class(fitted: QueryClasses) -> None:
    found = {(kind, fitted.of(text)) for kind, text in asked(60, seed=1)}
    assert len(found) == len({kind for kind, _ in found}) == len({name for _, name in found}) == 3


def test_a_class_is_named_by_its_words_and_its_fit(fitted: QueryClasses) -> None:
    of = {kind: fitted.of(text) for kind, text in asked(30)}
    marks = {name.split("-")[0] for name in of.values()}
    assert len(marks) == 1
    words = set(FORMS["capital"].lower().split())
    assert set(of["capital"].split("-")[1:]) <= words
    other = fit([text for kind, text in asked(150) if kind != "poem"], 2)
    assert not set(other.names) & set(fitted.names)


def test_the_same_log_gives_the_same_classes(fitted: QueryClasses) -> None:
    again = fit([text for _, text in asked(150)], 3)
    assert again.names == fitted.names
    assert np.array_equal(again.centres, fitted.centres)


@given(st.text(max_size=3000))
def test_every_text_has_a_class(fitted: QueryClasses, text: str) -> None:
    assert fitted.of(text) in fitted.names


def test_only_the_ends_of_a_long_text_are_read(fitted: QueryClasses) -> None:
    """So that a class is found in a short time, however long the text is."""
    ends = FORMS["capital"].format(1, 2) * 10
    middles = [form.format(1, 2) * 10_000 for form in FORMS.values()]
    assert {fitted.of(ends + middle + ends) for middle in middles} == {fitted.of(ends)}


def test_classes_survive_being_written_and_read(fitted: QueryClasses, tmp_path: Path) -> None:
    fitted.save(tmp_path / "kept" / "classes.npz")
    loaded = QueryClasses.load(tmp_path / "kept" / "classes.npz")
    assert loaded.names == fitted.names
    assert [loaded.of(text) for _, text in asked(30)] == [fitted.of(text) for _, text in asked(30)]
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["classes.npz"]


def test_fewer_different_questions_give_fewer_classes() -> None:
    few = fit(["what is this?", "and what is that?"] * 5, 8)
    assert len(few.names) == 2
    assert sum(size.questions for size in sizes(few, ["what is this?"] * 3)) == 3


@pytest.mark.parametrize("text", [b"", b"PK\x03\x04", b"{}"])
def test_a_file_that_holds_no_classes_is_refused_by_name(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "other.npz"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"other\.npz: not a file of query classes"):
        QueryClasses.load(path)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, version=np.array(1), names=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"evil\.npz"):
        QueryClasses.load(path)


def test_classes_of_another_version_are_refused(fitted: QueryClasses, tmp_path: Path) -> None:
    path = tmp_path / "classes.npz"
    np.savez(path, version=np.array(7))
    with pytest.raises(ValueError, match="version must be 1, got 7"):
        QueryClasses.load(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_centres_that_are_no_numbers_are_refused(fitted: QueryClasses, bad: float) -> None:
    with pytest.raises(ValueError, match="centres must be finite"):
        QueryClasses(fitted.names, fitted.weights, np.full_like(fitted.centres, bad))


def log(path: Path) -> Path:
    lines = [json.dumps({"question": text}) + "\n" for _, text in asked(60)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_the_command_fits_and_tells_the_classes(tmp_path: Path) -> None:
    out = tmp_path / "classes.npz"
    source = log(tmp_path / "outcomes.jsonl")
    told = CliRunner().invoke(
        main, ["classes", "fit", str(source), "-o", str(out), "--classes", "3"]
    )
    assert told.exit_code == 0, told.output
    names = QueryClasses.load(out).names
    assert all(name in told.output for name in names)
    counts = [int(line.split()[0]) for line in told.output.splitlines()[:-1]]
    assert sum(counts) == 60 and counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("text", ["", "{}\n", "3\n", '{"question": 3}\n', "x\n"])
def test_a_log_without_questions_is_told_by_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"log\.jsonl"):
        questions(str(path))


async def test_a_declared_class_goes_before_a_found_one(fitted: QueryClasses) -> None:
    controller = await make_controller()
    text = FORMS["sum"].format(1, 2)
    assert prepare(controller, chat(text)).query.query_class == "default"
    controller.classes = fitted
    assert prepare(controller, chat(text)).query.query_class == fitted.of(text)
    own = chat(text, thinkbudget={"query_class": "mine"})
    assert prepare(controller, own).query.query_class == "mine"
