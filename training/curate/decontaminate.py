"""Drops questions that share a word 8-gram with a test question or an earlier source (s1, 2.1).

Sources are taken in the order of the settings. A question goes if it shares at least one 8-gram
with a test question, or with a question accepted from an earlier source; questions of one source
are not compared with each other, as in the paper's code.

Memory does not grow with the pool: only 8-grams that occur in two sources matter across sources.
They are found first, through files on disk, one sixty-fourth of all hashes at a time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from training.curate.bulk import Mapper
from training.curate.ngrams import Grams, gram_hashes, members
from training.curate.parts import PartWriter, read_parts
from training.curate.rows import DROPPED

IN_TEST = "8-gram of a test set"
IN_SOURCE = "8-gram of an earlier source"
SHARDS_LOG2 = 6
_GRAMS = pa.list_(pa.uint64())


def index_of_tests(questions: Iterable[str]) -> Grams:
    """The sorted 8-grams of all test questions."""
    return _union([gram_hashes(question) for question in questions])


def decontaminate(files: Sequence[Path], tests: Grams, bulk: Mapper, out: PartWriter) -> None:
    """Write what is clean. No file may hold rows of two sources."""
    groups = by_source(files)
    shared = shared_grams(list(groups.values()), bulk)
    accepted = np.empty(0, np.uint64)
    # The large index does not change, so it is shared once.
    held_tests, held_shared = bulk.share(tests), bulk.share(shared)
    for group in groups.values():
        flag = Flag(held_tests, held_shared, bulk.share(accepted))
        mine = [accepted]
        for batch in bulk(group, flag):
            kept = batch.filter(batch[DROPPED].is_null())
            mine.append(np.asarray(kept["grams"].combine_chunks().flatten(), dtype=np.uint64))
            out.write(batch)
        out.end_part()
        accepted = _union(mine)
    out.notes |= {"test_grams": len(tests), "grams_in_two_sources": len(shared)}


@dataclass(frozen=True, slots=True)
class Flag:
    """Adds to a batch why a question goes, and its 8-grams that occur in two sources."""

    tests: Callable[[], Grams]
    shared: Callable[[], Grams]
    accepted: Callable[[], Grams]

    def __call__(self, batch: pa.Table) -> pa.Table:
        tests, shared, accepted = self.tests(), self.shared(), self.accepted()
        reasons: list[str | None] = []
        across = []
        for question in batch["question"].to_pylist():
            grams = gram_hashes(question)
            mine = members(grams, shared)
            across.append(mine)
            if len(members(grams, tests)):
                reasons.append(IN_TEST)
            else:
                reasons.append(IN_SOURCE if len(members(mine, accepted)) else None)
        return batch.append_column(DROPPED, pa.array(reasons, pa.string())).append_column(
            "grams", pa.array(across, _GRAMS)
        )


def by_source(files: Sequence[Path]) -> dict[str, list[Path]]:
    """The files of every source, in the order in which sources come first."""
    groups: dict[str, list[Path]] = {}
    for path in files:
        (part,) = read_parts([path], ["source"])
        groups.setdefault(part["source"][0].as_py(), []).append(path)
    return groups


def shared_grams(groups: Sequence[Sequence[Path]], bulk: Mapper) -> Grams:
    """The sorted 8-grams that occur in two or more groups of files."""
    if len(groups) < 2:
        return np.empty(0, np.uint64)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for number, group in enumerate(groups):
            for batch in bulk(group, grams_of, ["question"]):
                _spill(np.asarray(batch["grams"], dtype=np.uint64), folder, number)
        found = [_in_two(sorted(folder.glob(f"{n}-*"))) for n in range(1 << SHARDS_LOG2)]
    return _union(found)


def grams_of(batch: pa.Table) -> pa.Table:
    """All 8-grams of a batch in one column, whose rows are no longer those of questions."""
    grams = _union([gram_hashes(question) for question in batch["question"].to_pylist()])
    return pa.table({"grams": pa.array(grams, pa.uint64())})


def _spill(grams: Grams, folder: Path, group: int) -> None:
    """Append sorted grams to the files of their shards."""
    grams = np.sort(grams)
    bounds = np.arange(1, 1 << SHARDS_LOG2, dtype=np.uint64) << np.uint64(64 - SHARDS_LOG2)
    for shard, piece in enumerate(np.split(grams, np.searchsorted(grams, bounds))):
        if len(piece):
            with (folder / f"{shard}-{group}").open("ab") as file:
                file.write(piece.tobytes())


def _in_two(files: Sequence[Path]) -> Grams:
    each = [np.unique(np.fromfile(path, dtype=np.uint64)) for path in files]
    if len(each) < 2:
        return np.empty(0, np.uint64)
    grams, counts = np.unique(np.concatenate(each), return_counts=True)
    found: Grams = grams[counts > 1]
    return found


def _union(arrays: Sequence[Grams]) -> Grams:
    return np.unique(np.concatenate(arrays)) if arrays else np.empty(0, np.uint64)
