"""Writes the set that is trained on, and the sets that the paper compares it with (s1, 5.1).

s1       what the sampler draws from the difficult rows
random   rows of good quality, at random
diverse  rows of good quality, domains drawn uniformly, difficulty not looked at
longest  rows of good quality with the longest traces
full     every row that has a trace
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.curate.parts import PartWriter, read_parts
from training.curate.rows import with_column
from training.curate.sampler import Benchmarks, Pool, longest, sample, uniform
from training.curate.settings import Select

NOT_SELECTED = "not selected"
# The stage whose rows each set is drawn from.
SETS = {
    "s1": "difficulty",
    "random": "quality",
    "diverse": "classify",
    "longest": "quality",
    "full": "traces",
}


def select(name: str, files: Sequence[Path], settings: Select, out: PartWriter) -> None:
    """Write one of SETS. Raises ValueError if there are fewer rows than it needs."""
    rng = np.random.default_rng(settings.seed)
    if name == "full":
        for part in read_parts(files):
            out.write(part)
        return
    columns = ["source", "thinking_tokens"]
    columns += ["domain"] if name in ("s1", "diverse") else []
    columns += ["trace_correct"] if name == "s1" else []
    known = pa.concat_tables(list(read_parts(files, columns)))
    lengths = np.asarray(known["thinking_tokens"], dtype=np.int64)
    if settings.size > len(lengths):
        raise ValueError(f"select.size is {settings.size}, and only {len(lengths)} rows are left")
    match name:
        case "s1":
            chosen = _s1(known, lengths, settings, rng, out)
        case "diverse":
            chosen = sample(Pool(texts(known["domain"]), lengths), settings.size, rng)
        case "longest":
            chosen = longest(lengths, settings.size)
        case _:
            chosen = uniform(len(lengths), settings.size, rng)
    _write(files, set(chosen), out)


def preselected(known: pa.Table, lengths: np.ndarray, settings: Select) -> list[int]:
    """Row numbers of right traces, of benchmarks all and of MATH long ones (s1, section 2.2)."""
    right = np.asarray(known["trace_correct"].fill_null(False), dtype=bool)
    taken = np.zeros(len(right), dtype=bool)
    for source, longer_than in settings.preselect.items():
        taken |= np.asarray(pc.equal(known["source"], source)) & (lengths > longer_than)
    found: list[int] = np.flatnonzero(taken & right).tolist()
    return found


def texts(column: pa.ChunkedArray) -> list[str]:
    """The values of a column; equal ones are one object, so that a row takes 8 bytes."""
    coded = column.combine_chunks().dictionary_encode()
    values = coded.dictionary.to_pylist()
    return [values[code] for code in np.asarray(coded.indices)]


def _s1(
    known: pa.Table,
    lengths: np.ndarray,
    settings: Select,
    rng: np.random.Generator,
    out: PartWriter,
) -> list[int]:
    first_rows = preselected(known, lengths, settings)
    domains, sources = texts(known["domain"]), texts(known["source"])
    first, second = (
        [domain for domain, source in zip(domains, sources, strict=True) if source == name]
        for name in settings.benchmarks
    )
    weights = Benchmarks(first, second).weights()
    out.notes |= {"preselected": len(first_rows), "domains": len(set(domains)), "weights": weights}
    return sample(
        Pool(domains, lengths),
        settings.size,
        rng,
        preselected=first_rows,
        uniform_until=settings.uniform_until,
        weights=weights,
    )


def _write(files: Sequence[Path], chosen: set[int], out: PartWriter) -> None:
    at = 0
    for part in read_parts(files):
        rows = range(at, at + part.num_rows)
        reasons = [None if row in chosen else NOT_SELECTED for row in rows]
        out.write(with_column(part, "dropped", reasons))
        at += part.num_rows
