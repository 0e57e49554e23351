"""Reads the rows of a source, from the hub or from a file. The only importer of `datasets`.

Rows are streamed: a source larger than memory can be read.
"""

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from training.curate.manifest import file_hash
from training.curate.rows import question_key
from training.curate.settings import Questions
from training.curate.sources import SOURCES, TEST_SETS, Listed, Place, Source

SAMPLE_SEED = 42
_KINDS = {".parquet": "parquet", ".jsonl": "json"}
_COLUMN = re.compile(r"\{(\w+)\}")
SUBSET = "subset"


class Found(NamedTuple):
    """A source as the settings have it: its row of the table, and where it is read.

    That is the file `path`, or the hub, or `hub`: a folder with copies of data sets of the hub.
    """

    source: Source
    path: Path | None
    revision: str | None
    hub: Path | None = None

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the rows are; a file of a source of one place has what holds for that place."""
        if self.path is None:
            return self.source.places
        places = self.source.places
        return (places[0]._replace(also=None) if len(places) == 1 else Place(self.path.name),)

    @property
    def identity(self) -> dict[str, str]:
        """What the rows come from, by name: the hash of files, or a revision on the hub."""
        if self.path is not None:
            return {f"{self.source.name}: file": file_hash(self.path)}
        names = {place.hub_id for place in self.source.places}
        names |= {place.also.hub_id for place in self.source.places if place.also is not None}
        return {f"{self.source.name}: {name}": self._version(name) for name in sorted(names)}

    def _version(self, hub_id: str) -> str:
        if self.hub is None:
            return self.revision or "newest when read"
        files = sorted(file for file in (self.hub / hub_id).rglob("*") if file.is_file())
        return hashlib.sha256("".join(file_hash(file) for file in files).encode()).hexdigest()


def columns_of(source: Source, place: Place) -> set[str]:
    """The columns that rows of a place need."""
    names = {c.column for c in (*source.where, *place.where)} | source.kinds.keys()
    templates = (place.question or source.question, source.source_type or "")
    names |= {name for template in templates for name in _COLUMN.findall(template)}
    names |= {name for name in (source.solution, source.strata, *source.choices) if name}
    if place.also is not None:
        names.add(place.also.column)
    return names - {SUBSET}


def found(questions: Questions, *, hub: str | None = None, is_test: bool = False) -> Found:
    """The source that settings name; a test set needs no solutions. Raises ValueError."""
    table = {**SOURCES, **TEST_SETS}
    source = table.get(questions.name, Source(questions.name, ()))
    if questions.question is not None:
        template = questions.question
        places = tuple(place._replace(question=None) for place in source.places)
        template = template if "{" in template else f"{{{template}}}"
        source = replace(source, question=template, places=places)
    if questions.solution is not None:
        source = replace(source, solution=questions.solution or None)
    if is_test:
        source = replace(source, solution=None)
    if questions.kind is not None:
        source = replace(source, kind=questions.kind, kinds={})
    path = None if questions.path is None else Path(questions.path)
    if path is not None and (not path.is_file() or path.suffix not in _KINDS):
        why = "is no file" if path.suffix in _KINDS else "must end in .parquet or .jsonl"
        raise ValueError(f"path {str(path)!r} of {questions.name!r} {why}")
    return Found(source, path, questions.revision, None if hub is None else Path(hub))


def check_columns(source: Found) -> None:
    """Raise ValueError if a file or a copy of a data set is empty or lacks a column."""
    if source.path is None and source.hub is None:
        return
    for place in source.places:
        for row in _stream(source, place):
            _check(source, place, row)
            break
        else:
            raise ValueError(f"{_where(source, place)} of {source.source.name!r} has no rows")


def questions_of(source: Found) -> Iterator[dict[str, Any]]:
    """The rows of a source in the columns of `load`. Raises ValueError for bad columns.

    All of them, or as many as the source takes: a sample that every row is as likely to be in.
    """
    rows = _rows(source)
    if source.source.take is None:
        yield from (_question(source.source, place, row) for place, row in rows)
        return
    by_stratum: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    counts: dict[str, int] = {}
    rng, take, strata = Random(SAMPLE_SEED), source.source.take, source.source.strata
    for number, (place, row) in enumerate(rows):
        stratum = str(row[strata]) if strata else ""
        held = by_stratum.setdefault(stratum, [])
        counts[stratum] = counts.get(stratum, 0) + 1
        entry = (number, _question(source.source, place, row))
        if len(held) < take:
            held.append(entry)
        elif (at := rng.randrange(counts[stratum])) < take:
            held[at] = entry
    each = math.ceil(take / max(1, len(by_stratum)))
    chosen = [
        entry for held in by_stratum.values() for entry in rng.sample(held, min(each, len(held)))
    ]
    yield from (row for _, row in sorted(chosen, key=lambda entry: entry[0])[:take])


def _rows(source: Found) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The rows that pass the conditions, as they are."""
    excluded = _excluded(source)
    for place in source.places:
        conditions = (*source.source.where, *place.where)
        listed = _listed(source, place.also)
        for number, row in enumerate(_stream(source, place)):
            if number == 0:
                _check(source, place, row)
            taken = all(condition.holds(row) for condition in conditions)
            if not taken and place.also is not None:
                taken = row[place.also.column] in listed
            if taken and not (excluded and _text(source.source, place, row) in excluded):
                yield place, row


def _excluded(source: Found) -> set[str]:
    """Questions of the test set that the source goes without; a file has none of them."""
    if source.source.without is None or source.path is not None:
        return set()
    test = TEST_SETS[source.source.without]
    other = source._replace(source=test)
    return {_text(test, place, row) for place, row in _rows(other)}


def _listed(source: Found, listed: Listed | None) -> set[Any]:
    if listed is None:
        return set()
    place = Place(listed.hub_id)
    values = set()
    for row in _stream(source, place):
        if listed.column not in row:
            raise ValueError(_lacks(source, place, listed.column, row))
        values.add(row[listed.column])
    return values


def _stream(source: Found, place: Place) -> Iterator[dict[str, Any]]:
    import datasets

    subset, split, revision, files = place.subset, place.split, source.revision, None
    if source.path is not None:
        name, files = _KINDS[source.path.suffix], str(source.path)
        subset, split, revision = None, "train", None
    elif source.hub is not None:
        name, revision = str(source.hub / place.hub_id), None
    else:
        name = place.hub_id
    try:
        yield from datasets.load_dataset(
            name, subset, split=split, revision=revision, data_files=files, streaming=True
        )
    except Exception as error:  # of whatever library reads the format
        where = _where(source, place)
        raise ValueError(f"{where} cannot be read: {type(error).__name__}: {error}") from error


def _check(source: Found, place: Place, row: dict[str, Any]) -> None:
    lacking = sorted(columns_of(source.source, place) - row.keys())
    if lacking:
        raise ValueError(_lacks(source, place, lacking[0], row))


def _lacks(source: Found, place: Place, column: str, row: dict[str, Any]) -> str:
    where = _where(source, place)
    return f"{where} of {source.source.name!r} has no column {column!r}, but {sorted(row)}"


def _where(source: Found, place: Place) -> str:
    if source.path is not None:
        return str(source.path)
    name = place.hub_id if source.hub is None else str(source.hub / place.hub_id)
    return " ".join(filter(None, (name, place.subset, place.split)))


def _text(source: Source, place: Place, row: dict[str, Any]) -> str:
    """The question without its choices."""
    return _filled(place.question or source.question, source, place, row)


def _filled(template: str, source: Source, place: Place, row: dict[str, Any]) -> str:
    named = {SUBSET: place.subset or "", **row}
    return _COLUMN.sub(lambda match: _part(source, named[match[1]]), template).strip()


def _question(source: Source, place: Place, row: dict[str, Any]) -> dict[str, Any]:
    question = _text(source, place, row)
    solution = None if source.solution is None else row[source.solution]
    if isinstance(solution, list):
        solution = solution[0] if solution else None
    solution = None if solution is None else str(solution).strip()
    if source.choices:
        question, solution = _with_choices(question, solution, [row[c] for c in source.choices])
    kinds = [kinds[row[c]] for c, kinds in source.kinds.items() if row[c] in kinds]
    used = {*_COLUMN.findall(place.question or source.question), source.solution}
    rest = {name: value for name, value in row.items() if name not in used}
    return {
        "key": question_key(question),
        "question": question,
        "solution": solution,
        "source": source.name,
        "source_type": place.hub_id
        if source.source_type is None
        else _filled(source.source_type, source, place, row),
        "cot_type": kinds[0] if kinds else place.kind or source.kind,
        "metadata": str(rest),
    }


def _with_choices(question: str, solution: str | None, answers: list[Any]) -> tuple[str, str]:
    """A question with its choices, in an order that follows from it, and the letter's solution."""
    texts = [str(answer).strip() for answer in answers]
    right = texts[0]
    Random(question).shuffle(texts)
    letters = "ABCDEFGH"[: len(texts)]
    lines = [f"({letter}) {text}" for letter, text in zip(letters, texts, strict=True)]
    answer = f"Answer: {letters[texts.index(right)]}"
    return "\n".join([question, "Answer Choices:", *lines]), f"{solution or ''}\n\n{answer}".strip()


def _part(source: Source, value: Any) -> str:
    text = "\n".join(map(str, value)) if isinstance(value, list) else str(value or "")
    if source.after is not None:
        text = text.rpartition(source.after)[2]
    text = text if source.before is None else text.partition(source.before)[0]
    for old, new in source.replaced.items():
        text = text.replace(old, new)
    return text
