"""Question sets are read whole, or refused by their line."""

import json
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from policies.answer_spec import AnswerSpec
from scheduler.experiments.questions.hub import hub_rows
from scheduler.experiments.questions.load import load_questions
from scheduler.experiments.questions.named import NAMED_SETS
from scheduler.experiments.questions.question import Question, fingerprint, spread
from scheduler.experiments.settings import QuestionSet


def write(folder: Path, *lines: object) -> str:
    path = folder / "set.jsonl"
    texts = (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)
             for line in lines)  # fmt: skip
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return str(path)


def test_id_and_class_may_be_left_out(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        {"id": 7, "class": "sums", "question": "1+1?", "answer": "2"},
        {"question": "2+2?", "answer": "4"},
    )
    assert load_questions(source) == [
        Question("7", "sums", "1+1?", "2"),
        Question(f"{source}:2", "default", "2+2?", "4"),
    ]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\\n"])
def test_only_an_end_of_line_ends_a_line(tmp_path: Path, mark: str) -> None:
    source = write(tmp_path, f'{{"question": "one{mark}two", "answer": "2"}}'.replace("\x0b", " "))
    (found,) = load_questions(source)
    assert found.question.startswith("one") and found.question.endswith("two")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{torn", "not JSON"),
        ("[]", "question"),
        ({"answer": "2"}, "question"),
        ({"question": "1+1?"}, "answer"),
        ({"question": "1+1?", "answer": [2]}, "answer"),
        ({"question": "1+1?", "answer": True}, "answer"),
        ({"question": "1+1?", "answer": " "}, "a question without an answer cannot be graded"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, told: str) -> None:
    source = write(tmp_path, {"question": "1+1?", "answer": "2"}, line)
    with pytest.raises(ValueError, match=told) as error:
        load_questions(source)
    assert f"{source}:2" in str(error.value)


def test_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"id": "q1", "question": "a=2 b=a*3 b?", "answer": "6"}\r\n\r\n'
        b'{"id": "q2", "question": "a=3 b=a*3 b?", "answer": "work it out\\n#### 9"}\n   \n'
    )
    found = load_questions(str(path))
    assert [(question.id, question.answer) for question in found] == [("q1", "6"), ("q2", "9")]


@pytest.mark.parametrize("answer", ["####", "a #### ", "#hash", "4"])
def test_an_answer_without_a_marked_end_stays_as_it_is(tmp_path: Path, answer: str) -> None:
    source = write(tmp_path, {"question": "1+1?", "answer": answer})
    assert load_questions(source)[0].answer == answer


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("utf-16", "UTF-16"), ("utf-16-be", "UTF-8"), ("utf-32", "UTF-32"), ("latin-1", "UTF-8")],
)
def test_another_encoding_is_named(tmp_path: Path, encoding: str, told: str) -> None:
    path = tmp_path / "set.jsonl"
    lines = '{"question": "1+1?", "answer": "2"}\n{"question": "Größe?", "answer": "2"}\n'
    path.write_bytes(lines.encode(encoding))
    with pytest.raises(ValueError, match="set.jsonl") as error:
        load_questions(str(path))
    if encoding != "utf-16-be":
        assert told in str(error.value)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([{"id": "same", "question": "1?", "answer": "1"}] * 2, "'same' came up before, in line 1"),
        ([{"id": 7, "question": "1?", "answer": "1"}, {"id": "7", "question": "2?", "answer": "2"}],
         "'7' came up before"),
        (["", ""], "none"),
        (['{"question": "\\ud83d", "answer": "1"}'], "surrogate"),
        (['{"question": "1", "answer": "\\ude00"}'], "surrogate"),
    ],
)  # fmt: skip
def test_a_set_that_cannot_be_asked_is_refused(
    tmp_path: Path, lines: list[object], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        load_questions(write(tmp_path, *lines))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        load_questions("nowhere.jsonl")


def test_the_embedded_model_comes_with_its_questions() -> None:
    questions = load_questions("s1-pocket")
    assert len({question.id for question in questions}) == len(questions) > 100
    assert all(question.question and question.answer for question in questions)
    assert len({question.query_class for question in questions}) > 1


def test_questions_are_taken_in_turn_from_every_class() -> None:
    def of(name: str, count: int) -> list[Question]:
        return [Question(f"{name}{number}", name, "?", "1") for number in range(count)]

    questions = of("a", 4) + of("b", 2) + of("c", 1)
    assert [q.id for q in spread(questions, None)] == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]
    assert [q.id for q in spread(questions, 4)] == ["a0", "b0", "c0", "a1"]
    assert spread([], 3) == []


ROWS: dict[str, list[dict[str, Any]]] = {
    "AIME24": [{"id": 60, "problem": "2+21?", "answer": "023", "solution": "..."}],
    "AIME25": [{"id": 1, "question": "Sum?", "answer": "70"}],
    "MATH500": [
        {
            "problem": "x?",
            "answer": "\\frac{1}{2}",
            "subject": "Algebra",
            "unique_id": "test/algebra/1.json",
        }
    ],
    "GPQA-Diamond": [
        {
            "Record ID": f"rec{number}",
            "Question": f"Which {number}?",
            "Correct Answer": "right  [1] one\n",
            "Incorrect Answer 1": "wrong a",
            "Incorrect Answer 2": "wrong b [title] c",
            "Incorrect Answer 3": "wrong d",
            "High-level domain": "Physics",
        }
        for number in range(3)
    ],
    "GSM8K": [{"question": "2 and 2?", "answer": "It is 2+2.\n#### 4"}],
    "MMLU-Pro": [
        {
            "question_id": 70,
            "question": "Pick.",
            "options": ["one", "two", "three"],
            "answer": "B",
            "answer_index": 1,
            "category": "law",
        }
    ],
}


def file_of(folder: Path, rows: list[dict[str, Any]], suffix: str) -> str:
    path = folder / f"rows{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_every_named_set_has_rows_in_the_test() -> None:
    assert ROWS.keys() == NAMED_SETS.keys()


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("name", NAMED_SETS)
def test_a_named_set_is_read_from_a_file_of_its_columns(
    tmp_path: Path, name: str, suffix: str
) -> None:
    found = load_questions(QuestionSet(name, path=file_of(tmp_path, ROWS[name], suffix)))
    first, expected = found[0], {
        "AIME24": Question("60", "AIME24", "2+21?", "023", AnswerSpec("number")),
        "AIME25": Question("1", "AIME25", "Sum?", "70", AnswerSpec("number")),
        "MATH500": Question(
            "test/algebra/1.json", "Algebra", "x?", "\\frac{1}{2}", AnswerSpec("math")
        ),
        "GSM8K": Question("GSM8K-1", "GSM8K", "2 and 2?", "4", AnswerSpec("number")),
        "MMLU-Pro": Question(
            "70", "law", "Pick.\n\nA) one\nB) two\nC) three", "B",
            AnswerSpec("choice", ("one", "two", "three")),
        ),
    }  # fmt: skip
    if name in expected:
        assert first == expected[name]
    assert len(found) == len(ROWS[name])


def test_choices_of_gpqa_are_shuffled_as_the_harness_does(tmp_path: Path) -> None:
    """One generator of seed 0 for all rows; wrong choices first, the right one last."""
    rows = ROWS["GPQA-Diamond"]
    found = load_questions(QuestionSet("gpqa-diamond", path=file_of(tmp_path, rows, ".jsonl")))
    rng = random.Random(0)
    for number, question in enumerate(found):
        choices = ["wrong a", "wrong b. c", "wrong d", "right  one"]
        rng.shuffle(choices)
        assert question.spec == AnswerSpec("choice", tuple(choices))
        assert question.answer == "ABCD"[choices.index("right  one")]
        lines = [f"{letter}) {text}" for letter, text in zip("ABCD", choices, strict=True)]
        assert question.question == f"Which {number}?\n\n" + "\n".join(lines)
        assert question.query_class == "Physics"


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_columns_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    if suffix == ".csv":
        path.write_text('q,a,topic\n"1, 1?",2,sums\n"2\n3?",x,words\n', encoding="utf-8")
    else:
        rows = [{"q": "1, 1?", "a": 2, "topic": "sums"}, {"q": "2\n3?", "a": 3, "topic": "words"}]
        path = Path(file_of(tmp_path, rows, suffix))
    source = QuestionSet(
        str(path), question_column="q", answer_column="a", class_column="topic", kind="number"
    )
    first, second = load_questions(source)
    assert first[1:] == ("sums", "1, 1?", "2", AnswerSpec("number"), "", "")
    assert second.question == "2\n3?"
    with pytest.raises(ValueError, match="has no 'question', but q, a, topic; question_column"):
        load_questions(str(path))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("AIME23", "did you mean 'AIME25'"),
        ("gpqa", "did you mean 'GPQA-Diamond'"),
        ("set.txt", "files that end in .jsonl, .csv, .parquet"),
    ],
)
def test_an_unknown_name_brings_the_nearest(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load_questions(name)


def test_what_a_set_is_does_not_depend_on_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    rows = [{"id": "1", "question": "1?", "answer": "1"}]
    one, other = file_of(tmp_path, rows, ".jsonl"), file_of(tmp_path / "b", rows, ".parquet")
    assert fingerprint(load_questions(one)) == fingerprint(load_questions(other))
    changed = file_of(tmp_path, [rows[0] | {"answer": "2"}], ".jsonl")
    assert fingerprint(load_questions(changed)) != fingerprint(load_questions(other))


def test_a_limit_takes_from_every_class() -> None:
    found = load_questions(QuestionSet("pocket", limit=10))
    assert len(found) == 10
    assert len({question.query_class for question in found}) == 5


@pytest.mark.filterwarnings("default")
def test_a_set_of_the_hub_is_streamed(tmp_path: Path) -> None:
    """A folder stands in for a repository of the hub: it is read by the same call."""
    file_of(tmp_path, ROWS["GSM8K"] * 2, ".parquet")
    assert list(hub_rows(str(tmp_path), split="train")) == ROWS["GSM8K"] * 2
    with pytest.raises(ValueError, match="cannot be read from the hub.*`path` names a file"):
        list(hub_rows(str(tmp_path / "nowhere")))


@pytest.mark.skipif(find_spec("reasoning_gym") is not None, reason="it is installed")
def test_a_task_without_its_package_says_what_to_install() -> None:
    with pytest.raises(ValueError, match="needs the package reasoning-gym"):
        load_questions("reasoning-gym:chain_sum")


def test_options_are_for_tasks_only() -> None:
    with pytest.raises(ValueError, match="options are for reasoning-gym:TASK, not for 'pocket'"):
        QuestionSet("pocket", options={"min_terms": 3})
