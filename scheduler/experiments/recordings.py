"""Recorded answers of models: comma-separated files, one query class each.

Vote traces have the columns `qid, sid, length, answer, correct`: one row a sampled chain, any
number of chains a question. Prefix traces have `qid, category, seed, prefix_tokens, trace_tokens,
pred, pred_prob, correct`: one row for each answer that was forced out of a chain on its way.
Further columns are left alone; a file without `qid` is another kind of table, and skipped.
"""

import csv
import gzip
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO

VOTE_COLUMNS = ("qid", "sid", "length", "answer", "correct")
PREFIX_COLUMNS = (
    "qid",
    "category",
    "seed",
    "prefix_tokens",
    "trace_tokens",
    "pred",
    "pred_prob",
    "correct",
)
_MAX_TOKENS = 1e9


class Sampled(NamedTuple):
    """One sampled chain; without an answer it casts no vote."""

    tokens: int
    answer: str | None
    right: bool


class VoteTrace(NamedTuple):
    """By question, the chains that were sampled for it; `names` are the questions' ids."""

    query_class: str
    questions: tuple[tuple[Sampled, ...], ...]
    names: tuple[str, ...] = ()


class Prefix(NamedTuple):
    """What a chain would answer if it were stopped after so many tokens."""

    tokens: int
    answer: str | None
    probability: float
    right: bool


class Traced(NamedTuple):
    """One chain with its forced answers, shortest prefix first; the last one is its own end."""

    question: str
    tokens: int
    prefixes: tuple[Prefix, ...]


class PrefixTrace(NamedTuple):
    query_class: str
    chains: tuple[Traced, ...]


class Recordings(NamedTuple):
    votes: tuple[VoteTrace, ...]
    prefixes: tuple[PrefixTrace, ...]
    skipped: tuple[str, ...]


class _Row:
    """One line of a file, whose fields are checked as they are read."""

    def __init__(self, fields: Mapping[str | None, str | list[str] | None], place: str) -> None:
        self._fields, self._place = fields, place

    def text(self, column: str, *, optional: bool = False) -> str:
        value = self._fields.get(column)
        if not isinstance(value, str) or not (optional or value.strip()):
            raise self.bad(column, value)
        return value.strip()

    def tokens(self, column: str) -> int:
        return round(self._number(column, max_=_MAX_TOKENS))

    def probability(self, column: str) -> float:
        return self._number(column, max_=1.0)

    def right(self, column: str) -> bool:
        value = self.text(column).lower()
        if value not in ("0", "1", "false", "true"):
            raise self.bad(column, value)
        return value in ("1", "true")

    def _number(self, column: str, *, max_: float) -> float:
        try:
            value = float(self.text(column))
        except ValueError:
            raise self.bad(column, self._fields.get(column)) from None
        if not (math.isfinite(value) and 0 <= value <= max_):
            raise self.bad(column, value)
        return value

    def bad(self, column: str, value: object) -> ValueError:
        return ValueError(f"{self._place}: bad {column}: {value!r}")


def load_recordings(where: Path) -> Recordings:
    """A file, or every .csv and .csv.gz of a folder.

    What is wrong is named by file, line, column and value.
    """
    votes, prefixes, skipped = [], [], []
    paths = [where] if where.is_file() else sorted(where.glob("*"))
    paths = [path for path in paths if path.name.endswith((".csv", ".csv.gz"))]
    for path in paths:
        name = path.name.removesuffix(".gz").removesuffix(".csv")
        columns = _columns(path)
        if columns >= set(VOTE_COLUMNS):
            votes.append(_votes(name, path))
        elif columns >= set(PREFIX_COLUMNS):
            prefixes.append(_prefixes(name, path))
        elif "qid" in columns:
            required = PREFIX_COLUMNS if "prefix_tokens" in columns else VOTE_COLUMNS
            missing = ", ".join(column for column in required if column not in columns)
            raise ValueError(f"{path}:1: columns are missing: {missing}")
        else:
            skipped.append(path.name)
    return Recordings(tuple(votes), tuple(prefixes), tuple(skipped))


def _votes(name: str, path: Path) -> VoteTrace:
    questions: dict[str, dict[str, Sampled]] = {}
    for row in _rows(path):
        samples = questions.setdefault(row.text("qid"), {})
        answer = row.text("answer", optional=True) or None
        sampled = Sampled(row.tokens("length"), answer, row.right("correct"))
        if answer is None and sampled.right:
            raise row.bad("correct", "no answer cannot be right")
        if samples.setdefault(row.text("sid"), sampled) is not sampled:
            raise row.bad("sid", f"{row.text('sid')}, a second time for {row.text('qid')}")
    if not questions:
        raise ValueError(f"{path}: no rows")
    chains = tuple(tuple(samples.values()) for samples in questions.values())
    return VoteTrace(name, chains, tuple(questions))


def _prefixes(name: str, path: Path) -> PrefixTrace:
    chains: dict[tuple[str, str], list[Prefix]] = {}
    lengths: dict[tuple[str, str], int] = {}
    for row in _rows(path):
        key = (row.text("qid"), row.text("seed"))
        prefix = Prefix(
            row.tokens("prefix_tokens"),
            row.text("pred", optional=True) or None,
            row.probability("pred_prob"),
            row.right("correct"),
        )
        length = row.tokens("trace_tokens")
        if prefix.tokens > length or lengths.setdefault(key, length) != length:
            raise row.bad("trace_tokens", length)
        chains.setdefault(key, []).append(prefix)
    if not chains:
        raise ValueError(f"{path}: no rows")
    return PrefixTrace(
        name,
        tuple(
            Traced(key[0], lengths[key], tuple(sorted(prefixes, key=lambda prefix: prefix.tokens)))
            for key, prefixes in chains.items()
        ),
    )


def _columns(path: Path) -> set[str]:
    with _opened(path) as file:
        return set(next(csv.reader(file), []))


def _rows(path: Path) -> Iterator[_Row]:
    with _opened(path) as file:
        reader = csv.DictReader(file)
        for fields in reader:
            yield _Row(fields, f"{path}:{reader.line_num}")


def _opened(path: Path) -> TextIO:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")
