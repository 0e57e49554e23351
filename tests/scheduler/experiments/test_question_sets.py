"""Question sets are read whole, or refused by their line."""

import json
from pathlib import Path

import pytest

from scheduler.experiments.questions.load import load_questions
from scheduler.experiments.questions.question import Question, spread


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
        ({"question": "1+1?", "answer": 2}, "answer"),
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
