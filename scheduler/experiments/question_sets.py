"""Question sets: JSON lines with `question` and `answer`, and perhaps `id` and `class`."""

import codecs
import json
from pathlib import Path
from typing import NamedTuple

from workers.models import POCKET, POCKET_FOLDER

# The longer marks first: that of UTF-16 is the beginning of that of UTF-32.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class Question(NamedTuple):
    id: str
    query_class: str
    question: str
    answer: str


def load_questions(source: str) -> list[Question]:
    """From a file, or by the name of the embedded model, whose set is shipped with it."""
    path = POCKET_FOLDER / "questions.jsonl" if source == POCKET else Path(source)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(f"questions {source!r}: {error.strerror}") from None
    found: dict[str, tuple[Question, int]] = {}
    # Not splitlines: JSON may hold other ends of line, such as U+2028, as they are.
    for number, line in enumerate(_text(raw, source).split("\n"), start=1):
        if not line.strip():
            continue
        question = _question(line, f"{source}:{number}")
        if question.id in found:
            first = found[question.id][1]
            raise ValueError(
                f"{source}:{number}: id {question.id!r} came up before, in line {first}"
            )
        found[question.id] = question, number
    if not found:
        raise ValueError(f"questions {source!r}: there are none in it")
    return [question for question, _ in found.values()]


def spread(questions: list[Question], count: int | None) -> list[Question]:
    """The first `count` questions, taken in turn from every class, so that classes are mixed."""
    by_class: dict[str, list[Question]] = {}
    for question in questions:
        by_class.setdefault(question.query_class, []).append(question)
    longest = max(map(len, by_class.values()), default=0)
    rounds = [
        group[place]
        for place in range(longest)
        for group in by_class.values()
        if place < len(group)
    ]
    return rounds[:count]


def _text(raw: bytes, source: str) -> str:
    """A file's text; raises ValueError that names the encoding it seems to have."""
    for mark, encoding in _MARKS.items():
        if raw.startswith(mark):
            raise ValueError(f"questions {source!r}: it is {encoding}; it must be UTF-8")
    try:
        return raw.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        number = 1 + raw.count(b"\n", 0, error.start)
        raise ValueError(
            f"{source}:{number}: byte 0x{raw[error.start]:02x} is not UTF-8, which it must be"
        ) from None


def _question(line: str, place: str) -> Question:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{place}: not JSON: {error}") from None
    for name in ("question", "answer"):
        if not isinstance(fields, dict) or not isinstance(fields.get(name), str):
            raise ValueError(f"{place}: {name} must be a text")
        if not fields[name].isascii():
            try:
                fields[name].encode()
            except UnicodeEncodeError:
                raise ValueError(f"{place}: {name} holds half of a surrogate pair") from None
    return Question(
        str(fields.get("id", place)),
        str(fields.get("class", "default")),
        fields["question"],
        _reference(fields["answer"]),
    )


def _reference(answer: str) -> str:
    """The right answer alone: GSM8K writes the way to it before "####"."""
    _, mark, last = answer.rpartition("####")
    return last.strip() if mark and last.strip() else answer
