"""Drops repeated questions: exact ones, and near ones by MinHash. The only importer of datasketch.

The paper drops exact repeats only (s1, section 2.1). A question is a near-duplicate if the MinHash
estimate of its Jaccard similarity, over word 3-grams, with an earlier question that stays is at
least the threshold. The first of a group stays.

Signatures and bands are in files; one band is in memory at a time. So a row takes 40 bytes or so,
and one that shares a band with others takes more.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import pyarrow as pa
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

from training.curate.bulk import Mapper
from training.curate.parts import PartWriter, read_parts
from training.curate.rows import with_column

SAME = "same question"
NEAR = "near-duplicate question"
SHINGLE_WORDS = 3
Signatures = NDArray[np.uint32]


def drop_duplicates(
    files: Sequence[Path], bulk: Mapper, out: PartWriter, *, threshold: float, permutations: int
) -> None:
    """Write the questions that stay. A threshold of 1 or more drops exact repeats only."""
    reasons = exact_reasons(_keys(files))
    if threshold < 1:
        mark_near(files, bulk, reasons, threshold, permutations)
    at = 0
    for part in read_parts(files):
        out.write(with_column(part, "dropped", reasons[at : at + part.num_rows]))
        at += part.num_rows


def exact_reasons(keys: NDArray[np.uint64]) -> list[str | None]:
    """For every row why it goes, or None for the first of its key."""
    first = np.zeros(len(keys), dtype=bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return [None if stays else SAME for stays in first]


def mark_near(
    files: Sequence[Path], bulk: Mapper, reasons: list[str | None], threshold: float, count: int
) -> None:
    """Write NEAR into the reasons of near-duplicates of rows that stay."""
    # The split into bands that suits the threshold is datasketch's.
    plan = MinHashLSH(threshold=threshold, num_perm=count)
    bands, width = int(plan.b), int(plan.r)
    with ExitStack() as stack:
        file = stack.enter_context(TemporaryFile())
        of_band = [stack.enter_context(TemporaryFile()) for _ in range(bands)]
        for batch in bulk(files, Sign(count), ["question"]):
            signed = _signatures(batch, count)
            file.write(signed.tobytes())
            for each, hashes in zip(of_band, band_hashes(signed, bands, width).T, strict=True):
                each.write(hashes.tobytes())
        file.flush()
        signatures = SignatureFile(file.fileno(), count)
        for row, buckets in shared_buckets(of_band):
            if reasons[row] is None and signatures.is_near(row, buckets, threshold):
                reasons[row] = NEAR


def shared_buckets(of_band: Sequence[IO[bytes]]) -> Iterator[tuple[int, list[int]]]:
    """Every row that shares a band with another, in order, and numbers that name those bands."""
    rows, buckets, first = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for file in of_band:
        file.seek(0)
        hashes = np.frombuffer(file.read(), dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")
        is_next = np.diff(hashes[order], prepend=~hashes[order][:1]) == 0
        repeated = is_next | np.append(is_next[1:], False)[: len(order)]
        rows.append(order[repeated])
        buckets.append(first + np.cumsum(~is_next)[repeated])
        first += len(order)
    of_rows, of_buckets = np.concatenate(rows), np.concatenate(buckets)
    order = np.argsort(of_rows, kind="stable")
    of_rows, of_buckets = of_rows[order], of_buckets[order]
    bounds = np.flatnonzero(np.diff(of_rows, prepend=-1, append=-1))
    for begin, end in pairwise(bounds.tolist()):
        yield int(of_rows[begin]), of_buckets[begin:end].tolist()


class SignatureFile:
    """Signatures by row number in a file, and the rows that stay by the bands they share."""

    def __init__(self, descriptor: int, permutations: int) -> None:
        self._descriptor, self._bytes = descriptor, 4 * permutations
        self._staying: dict[int, list[int]] = {}

    def is_near(self, row: int, buckets: Sequence[int], threshold: float) -> bool:
        """Whether an earlier row that stays is as near as that; if not, this one stays."""
        others = {other for each in buckets for other in self._staying.get(each, ())}
        mine = self._read(row)
        if any((self._read(other) == mine).mean() >= threshold for other in others):
            return True
        for bucket in buckets:
            self._staying.setdefault(bucket, []).append(row)
        return False

    def _read(self, row: int) -> Signatures:
        return np.frombuffer(os.pread(self._descriptor, self._bytes, row * self._bytes), np.uint32)


@dataclass(frozen=True, slots=True)
class Sign:
    """Turns a batch of questions into their signatures, as bytes."""

    permutations: int

    def __call__(self, batch: pa.Table) -> pa.Table:
        signed = [signature(q, self.permutations) for q in batch["question"].to_pylist()]
        return pa.table({"signature": pa.array([s.tobytes() for s in signed], pa.binary())})


def signature(question: str, permutations: int) -> Signatures:
    """The MinHash of a question's word 3-grams, or of all its words if there are fewer than 3."""
    words = question.lower().split()
    count = max(1, len(words) - SHINGLE_WORDS + 1)
    shingles = {" ".join(words[at : at + SHINGLE_WORDS]) for at in range(count)}
    minhash = _empty(permutations).copy()
    minhash.update_batch([shingle.encode() for shingle in shingles])
    return np.asarray(minhash.hashvalues, dtype=np.uint32)


def band_hashes(signed: Signatures, bands: int, width: int) -> NDArray[np.uint64]:
    """One hash for each band of consecutive values; shape (rows, bands)."""
    hashes = np.zeros((len(signed), bands), dtype=np.uint64)
    factor = np.uint64(0x9E3779B97F4A7C15)
    for place in range(width):
        hashes = (hashes ^ signed[:, place : bands * width : width]) * factor
        hashes ^= hashes >> np.uint64(29)
    return hashes


@cache
def _empty(permutations: int) -> Any:
    return MinHash(num_perm=permutations, seed=1)


def _signatures(batch: pa.Table, count: int) -> Signatures:
    raw = b"".join(batch["signature"].to_pylist())
    return np.frombuffer(raw, dtype=np.uint32).reshape(-1, count)


def _keys(files: Sequence[Path]) -> NDArray[np.uint64]:
    parts = [
        np.array([int(key, 16) for key in part["key"].to_pylist()], dtype=np.uint64)
        for part in read_parts(files, ["key"])
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)
