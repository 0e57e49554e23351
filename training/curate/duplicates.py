"""Drops repeated questions: exact ones, and near ones by MinHash. The only importer of datasketch.

The paper drops exact repeats only (s1, section 2.1). A question is a near-duplicate if the MinHash
estimate of its Jaccard similarity, over word 3-grams, with an earlier question that stays is at
least the threshold. The first of a group stays.

A row takes 8 bytes for its key and 8 for each band in memory; signatures are in a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

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
    held = np.empty((len(reasons), bands), dtype=np.uint64)
    with TemporaryFile() as file:
        at = 0
        for batch in bulk(files, Sign(count), ["question"]):
            signed = _signatures(batch, count)
            held[at : at + len(signed)] = band_hashes(signed, bands, width)
            file.write(signed.tobytes())
            at += len(signed)
        file.flush()
        signatures = np.memmap(file, np.uint32, "r", shape=(len(reasons), count)) if at else held
        greedy(held, signatures, reasons, threshold)


def greedy(
    bands: NDArray[np.uint64], signatures: Any, reasons: list[str | None], threshold: float
) -> None:
    """Compare each row, in order, with the earlier ones that stay and share a band with it."""
    repeated = np.zeros(bands.shape, dtype=bool)
    for band in range(bands.shape[1]):
        _, inverse, counts = np.unique(bands[:, band], return_inverse=True, return_counts=True)
        repeated[:, band] = counts[inverse] > 1
    staying: dict[tuple[int, int], list[int]] = {}
    for row in np.flatnonzero(repeated.any(axis=1)).tolist():
        if reasons[row] is not None:
            continue
        buckets = [(int(b), int(bands[row, b])) for b in np.flatnonzero(repeated[row])]
        others = sorted({other for bucket in buckets for other in staying.get(bucket, ())})
        if others and (signatures[others] == signatures[row]).mean(axis=1).max() >= threshold:
            reasons[row] = NEAR
            continue
        for bucket in buckets:
            staying.setdefault(bucket, []).append(row)


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
