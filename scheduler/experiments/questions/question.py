"""One question of a set, with its right answer and what that answer is to be."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

from policies.answer_spec import AnswerSpec


class Question(NamedTuple):
    """`spec` says what answers are. `task` and `entry` are those of a set with its own verifier:
    the verifier's name, and what it needs, as JSON.
    """

    id: str
    query_class: str
    question: str
    answer: str
    spec: AnswerSpec = AnswerSpec()
    task: str = ""
    entry: str = ""


def spread(questions: Sequence[Question], limit: int | None) -> list[Question]:
    """The first `limit` questions, taken in turn from every class, so that classes are mixed."""
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
    return rounds[:limit]


def fingerprint(questions: Sequence[Question]) -> str:
    """SHA-256 of all that the questions are, wherever they were read."""
    lines = [[*question[:4], asdict(question.spec), *question[5:]] for question in questions]
    return hashlib.sha256(json.dumps(lines, ensure_ascii=False).encode()).hexdigest()
