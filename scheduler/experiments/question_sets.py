"""Question sets: JSON lines with `question` and `answer`, and perhaps `id` and `class`."""

import json
from pathlib import Path
from typing import NamedTuple

from workers.models import POCKET, POCKET_FOLDER


class Question(NamedTuple):
    id: str
    query_class: str
    question: str
    answer: str


def load_questions(source: str) -> list[Question]:
    """From a file, or by the name of the embedded model, whose set is shipped with it."""
    path = POCKET_FOLDER / "questions.jsonl" if source == POCKET else Path(source)
    try:
        # Not splitlines: JSON may hold other ends of line, such as U+2028, as they are.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except OSError as error:
        raise ValueError(f"questions {source!r}: {error.strerror}") from None
    return [_question(line, f"{source}:{number}") for number, line in enumerate(lines, start=1)]


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


def _question(line: str, place: str) -> Question:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{place}: not JSON: {error}") from None
    for name in ("question", "answer"):
        if not isinstance(fields, dict) or not isinstance(fields.get(name), str):
            raise ValueError(f"{place}: {name} must be a text")
    return Question(
        str(fields.get("id", place)),
        str(fields.get("class", "default")),
        fields["question"],
        fields["answer"],
    )
