"""Question sets by name or from a file; a set that cannot be graded is refused."""

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from policies.answer_spec import AnswerSpec
from scheduler.experiments.questions import reasoning_gym
from scheduler.experiments.questions.files import SUFFIXES, FileRow, file_rows
from scheduler.experiments.questions.hub import hub_rows
from scheduler.experiments.questions.named import NAMED_SETS, NamedSet
from scheduler.experiments.questions.question import Question, spread
from scheduler.experiments.settings import QuestionSet
from workers.models import POCKET, POCKET_FOLDER
from workers.simulated.law import Law
from workers.simulated.law import questions as simulated_questions

SIMULATED = "simulated"
RECORDED = "recorded"
DEFAULT_SIMULATED = 300
FITTED = "fitted "
"""Begins the ids of questions of a fitted population, of which no oracle knows the truth."""
_POCKET_NAMES = ("pocket", POCKET)


def load_questions(
    source: str | QuestionSet, laws: Mapping[str, Law] | None = None
) -> list[Question]:
    """By name, or from a file. Raises ValueError that names the set, its line and its column.

    `laws` are of a fitted population: its questions are made of these classes.
    """
    wanted = source if isinstance(source, QuestionSet) else QuestionSet(source)
    found = _whole(wanted, laws)
    return spread(found, wanted.limit) if wanted.limit else found


def _whole(wanted: QuestionSet, laws: Mapping[str, Law] | None) -> list[Question]:
    name = wanted.name
    if name == SIMULATED:
        made = simulated_questions(wanted.limit or DEFAULT_SIMULATED, wanted.seed, laws)
        mark = "" if laws is None else FITTED
        return [Question(mark + q["id"], q["class"], q["question"], q["answer"]) for q in made]
    if name.startswith(reasoning_gym.PREFIX):
        task = name.removeprefix(reasoning_gym.PREFIX)
        size = wanted.limit or reasoning_gym.DEFAULT_SIZE
        return reasoning_gym.make(task, size=size, seed=wanted.seed, options=wanted.options)
    if name in _POCKET_NAMES:
        path = POCKET_FOLDER / "questions.jsonl"
        return _collected(file_rows(path), _plain(wanted), wanted)
    by_name = {known.lower(): row for known, row in NAMED_SETS.items()}
    if (row := by_name.get(name.lower())) is not None:
        if wanted.path is not None:
            rows = file_rows(Path(wanted.path))
        else:
            hub = hub_rows(row.hub_id, row.subset, row.split, wanted.revision)
            rows = ((f"{row.hub_id}: row {n}", each) for n, each in enumerate(hub, start=1))
        return _collected(rows, _mapped(row, wanted), wanted)
    path = Path(wanted.path or name)
    if path.suffix not in SUFFIXES:
        known = [*NAMED_SETS, "pocket", SIMULATED, RECORDED, f"{reasoning_gym.PREFIX}TASK"]
        near = get_close_matches(name.lower(), [each.lower() for each in known], n=1, cutoff=0.4)
        named = [each for each in known if [each.lower()] == near]
        advice = f"did you mean {named[0]!r}? " if named else ""
        raise ValueError(
            f"unknown questions {str(path)!r}; {advice}There are {', '.join(known)}, "
            f"and files that end in {', '.join(SUFFIXES)}"
        )
    return _collected(file_rows(path), _plain(wanted), wanted)


def _plain(wanted: QuestionSet) -> NamedSet:
    """The columns of a file of the user's own."""
    plain = NamedSet(wanted.name, "", ("question",), ("answer",), id="id", query_class="class")
    return _mapped(plain, wanted)


def _mapped(row: NamedSet, wanted: QuestionSet) -> NamedSet:
    """The columns that the settings name come before those of the table."""
    return replace(
        row,
        question=(wanted.question_column,) if wanted.question_column else row.question,
        answer=(wanted.answer_column,) if wanted.answer_column else row.answer,
        id=wanted.id_column or row.id,
        query_class=wanted.class_column or row.query_class,
        choices=(wanted.choices_column,) if wanted.choices_column else row.choices,
        kind=wanted.kind or row.kind,
    )


def _collected(
    rows: Iterable[tuple[str, FileRow]], columns: NamedSet, wanted: QuestionSet
) -> list[Question]:
    found: dict[str, tuple[Question, str]] = {}
    for question, place in _questions(rows, columns, wanted):
        if question.id in found:
            first = found[question.id][1].rpartition(":")[2].strip()
            line = first if first.startswith("row") else f"line {first}"
            raise ValueError(f"{place}: id {question.id!r} came up before, in {line}")
        found[question.id] = question, place
    if not found:
        raise ValueError(f"questions {wanted.label!r}: there are none in it")
    return [question for question, _ in found.values()]


def _questions(
    rows: Iterable[tuple[str, FileRow]], columns: NamedSet, wanted: QuestionSet
) -> Iterator[tuple[Question, str]]:
    # One generator for all rows in their order, as s1's harness has it (seed 0).
    rng = random.Random(wanted.seed)
    for number, (place, row) in enumerate(rows, start=1):
        text = _cell(row, columns.question, "question", place)
        spec = AnswerSpec(columns.kind)
        if len(columns.choices) > 1:
            right = _tidied(_cell(row, columns.answer, "answer", place))
            choices = [_tidied(_cell(row, (column,), column, place)) for column in columns.choices]
            rng.shuffle(choices)
            answer = _letter(choices.index(right))
            text, spec = _with_choices(text, choices), AnswerSpec("choice", tuple(choices))
        else:
            answer = _reference(_cell(row, columns.answer, "answer", place))
            if columns.choices and (listed := row.get(columns.choices[0])):
                if isinstance(listed, str) or not all(isinstance(each, str) for each in listed):
                    raise ValueError(f"{place}: {columns.choices[0]} must be a list of texts")
                text, spec = _with_choices(text, listed), AnswerSpec("choice", tuple(listed))
        given = row.get(columns.id) if columns.id else None
        if given is None:
            # A file's lines are named by their place, those of a set by their number.
            given = place if not columns.hub_id else f"{columns.name}-{number}"
        kind = row.get(columns.query_class) if columns.query_class else None
        default = columns.name if columns.hub_id else "default"
        yield Question(str(given), str(kind or default), text, answer, spec), place


def _cell(row: FileRow, columns: tuple[str, ...], what: str, place: str) -> str:
    """The first column that is there, as text; raises ValueError for none, or an empty one."""
    column = next((each for each in columns if each in row), None)
    if column is None:
        hint = f"; {what}_column names another one" if what in ("question", "answer") else ""
        raise ValueError(f"{place}: has no {columns[0]!r}, but {', '.join(map(str, row))}{hint}")
    value: Any = row[column]
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(f"{place}: {column} must be a text, got {value!r}")
    if not value.strip():
        why = "; a question without an answer cannot be graded" if what == "answer" else ""
        raise ValueError(f"{place}: {column} is empty{why}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{place}: {column} holds half of a surrogate pair") from None
    return value


def _reference(answer: str) -> str:
    """The right answer alone: GSM8K writes the way to it before "####"."""
    _, mark, last = answer.rpartition("####")
    return last.strip() if mark and last.strip() else answer


def _tidied(choice: str) -> str:
    """A choice of GPQA as the harness tidies it."""
    text = choice.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def _with_choices(question: str, choices: Iterable[str]) -> str:
    """The template of s1's GPQA."""
    lines = (f"{_letter(number)}) {choice}" for number, choice in enumerate(choices))
    return f"{question}\n\n" + "\n".join(lines)


def _letter(number: int) -> str:
    return chr(ord("A") + number)
