"""Reads the rows of a source, from the hub or from a file. The only importer of `datasets`.

Rows are streamed: a source larger than memory can be read.
"""

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
from training.curate.sources import SOURCES, TEST_SETS, Place, Source

SAMPLE_SEED = 42
_KINDS = {".parquet": "parquet", ".jsonl": "json"}
_COLUMN = re.compile(r"\{(\w+)\}")


class Found(NamedTuple):
    """A source as the settings have it: its row of the table, and where it is read."""

    source: Source
    path: Path | None
    revision: str | None

    @property
    def columns(self) -> set[str]:
        """The columns that rows need."""
        source = self.source
        names = set(_COLUMN.findall(source.question)) | {c.column for c in source.where}
        names |= set(_COLUMN.findall(source.source_type or "")) | source.kinds.keys()
        names |= {name for name in (source.solution, source.strata) if name}
        return names

    @property
    def identity(self) -> dict[str, str]:
        """What the rows come from, by name: the hash of a file, or a revision on the hub."""
        if self.path is not None:
            return {f"{self.source.name}: file": file_hash(self.path)}
        revision = self.revision or "newest when read"
        return {f"{self.source.name}: {place.hub_id}": revision for place in self.source.places}


def found(questions: Questions, *, is_test: bool = False) -> Found:
    """The source that settings name; a test set needs no solutions. Raises ValueError."""
    table = {**SOURCES, **TEST_SETS}
    source = table.get(questions.name, Source(questions.name, ()))
    if questions.question is not None:
        template = questions.question
        source = replace(source, question=template if "{" in template else f"{{{template}}}")
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
    return Found(source, path, questions.revision)


def questions_of(source: Found) -> Iterator[dict[str, Any]]:
    """The rows of a source in the columns of `load`. Raises ValueError for bad columns."""
    rows = _drawn(source)
    if source.source.without is not None and source.path is None:
        other = Found(TEST_SETS[source.source.without], None, source.revision)
        excluded = {row["question"] for row in questions_of(other)}
        rows = (row for row in rows if row["question"] not in excluded)
    yield from rows


def check_columns(source: Found) -> None:
    """Raise ValueError if a local file is empty or lacks a column."""
    if source.path is not None:
        for row in _stream(_KINDS[source.path.suffix], data_files=str(source.path)):
            _check(source, row)
            return
        raise ValueError(f"{source.path} of {source.source.name!r} has no rows")


def _drawn(source: Found) -> Iterator[dict[str, Any]]:
    """All rows, or as many as the source takes: a sample that every row is as likely to be in."""
    rows = _rows(source)
    if source.source.take is None:
        return (_question(source.source, place, row) for place, row in rows)
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
    return (row for _, row in sorted(chosen, key=lambda entry: entry[0])[:take])


def _rows(source: Found) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The rows that pass the conditions, as they are."""
    places: list[tuple[Place, Iterator[dict[str, Any]]]]
    if source.path is not None:
        file = Place(source.path.name, where=_conditions(source))
        places = [(file, _stream(_KINDS[source.path.suffix], data_files=str(source.path)))]
    else:
        places = [
            (place, _stream(place.hub_id, place.subset, place.split, source.revision))
            for place in source.source.places
        ]
    for place, rows in places:
        conditions = (*source.source.where, *place.where)
        for number, row in enumerate(rows):
            if number == 0:
                _check(source, row)
            if all(condition.holds(row) for condition in conditions):
                yield place, row


def _conditions(source: Found) -> tuple[Any, ...]:
    """Of a source of one place, those of the place hold for its file, too."""
    places = source.source.places
    return places[0].where if len(places) == 1 else ()


def _stream(
    name: str,
    subset: str | None = None,
    split: str = "train",
    revision: str | None = None,
    *,
    data_files: str | None = None,
) -> Iterator[dict[str, Any]]:
    import datasets

    try:
        yield from datasets.load_dataset(
            name, subset, split=split, revision=revision, data_files=data_files, streaming=True
        )
    except Exception as error:  # of whatever library reads the format
        place = data_files or f"{name} {subset or ''} {split}"
        raise ValueError(f"{place} cannot be read: {type(error).__name__}: {error}") from error


def _check(source: Found, row: dict[str, Any]) -> None:
    lacking = sorted(source.columns - row.keys())
    if lacking:
        where = source.path or ", ".join(place.hub_id for place in source.source.places)
        raise ValueError(
            f"{where} of {source.source.name!r} has no column {lacking[0]!r}, but {sorted(row)}"
        )


def _question(source: Source, place: Place, row: dict[str, Any]) -> dict[str, Any]:
    def filled(template: str) -> str:
        return _COLUMN.sub(lambda match: _part(source, row[match[1]]), template).strip()

    question = filled(source.question)
    solution = None if source.solution is None else row[source.solution]
    if isinstance(solution, list):
        solution = solution[0] if solution else None
    kinds = [kinds[row[c]] for c, kinds in source.kinds.items() if row[c] in kinds]
    used = {*_COLUMN.findall(source.question), source.solution}
    rest = {name: value for name, value in row.items() if name not in used}
    return {
        "key": question_key(question),
        "question": question,
        "solution": None if solution is None else str(solution).strip(),
        "source": source.name,
        "source_type": filled(source.source_type) if source.source_type else place.hub_id,
        "cot_type": kinds[0] if kinds else source.kind,
        "metadata": str(rest),
    }


def _part(source: Source, value: Any) -> str:
    text = "\n".join(map(str, value)) if isinstance(value, list) else str(value or "")
    if source.after is not None:
        text = text.rpartition(source.after)[2]
    return text if source.before is None else text.partition(source.before)[0]
