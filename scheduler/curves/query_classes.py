"""The class of a query that declares none, by how its question reads. Imports scikit-learn to fit.

A question is a bag of hashed words and word pairs, rare ones weighing more; classes are clusters
of the questions in an outcome log. Finding a class needs no library but numpy, and looks at the
beginning and the end of a text only, so that it takes the same short time whatever the length.
"""

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self
from zipfile import BadZipFile
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

VERSION = 1
BUCKETS = 4096
_LETTERS = 300
"""So many are read at either end of a text."""
_WORD = re.compile(r"\w{1,12}|[^\w\s]")
_DIGITS = re.compile(r"[0-9]+")
_NAME_WORDS = 2

Float32s = NDArray[np.float32]


class ClassSize(NamedTuple):
    """A class and how many questions of the log are in it."""

    name: str
    questions: int


@dataclass(slots=True, eq=False)
class QueryClasses:
    """`weights` by bucket; `centres` by class and bucket."""

    names: tuple[str, ...]
    weights: Float32s
    centres: Float32s
    _offsets: Float32s = field(init=False)

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(f"names must differ, got {self.names!r}")
        for name, array, shape in (
            ("weights", self.weights, (BUCKETS,)),
            ("centres", self.centres, (len(self.names), BUCKETS)),
        ):
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite and of shape {shape}, got {array.shape}")
        self._offsets = np.square(self.centres).sum(axis=1) / 2

    def of(self, text: str) -> str:
        """The class whose centre is nearest."""
        buckets, counts = _buckets(text)
        values = counts * self.weights[buckets]
        length = math.sqrt(float(values @ values)) or 1.0
        likeness = self.centres[:, buckets] @ values / length
        return self.names[int(np.argmax(likeness - self._offsets))]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            np.savez_compressed(
                file,
                version=np.array(VERSION),
                names=np.array(self.names),
                weights=self.weights,
                centres=self.centres,
            )
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                if (version := int(stored["version"])) != VERSION:
                    raise ValueError(f"version must be {VERSION}, got {version}")
                names = tuple(map(str, stored["names"]))
                return cls(names, stored["weights"], stored["centres"])
        except (OSError, ValueError, LookupError, TypeError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path}: not a file of query classes: {error}") from None


def fit(texts: Sequence[str], classes: int, *, seed: int = 0) -> QueryClasses:
    """Clusters of the texts; fewer than asked for where too few texts differ."""
    from scipy.sparse import csr_array
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.preprocessing import normalize

    if not texts:
        raise ValueError("texts must not be empty")
    if classes < 1:
        raise ValueError(f"classes must be at least 1, got {classes!r}")
    rows = [_buckets(text) for text in texts]
    found = np.bincount(np.concatenate([row.buckets for row in rows]), minlength=BUCKETS)
    weights = np.log((1.0 + len(texts)) / (1.0 + found)).astype(np.float32) + 1e-3
    starts = np.cumsum([0, *(len(row.buckets) for row in rows)], dtype=np.int32)
    columns = np.concatenate([row.buckets for row in rows])
    values = np.concatenate([row.counts for row in rows]) * weights[columns]
    table = normalize(csr_array((values, columns, starts), shape=(len(texts), BUCKETS)))
    most = min(classes, len({(*row.buckets, *row.counts) for row in rows}))
    means = MiniBatchKMeans(most, random_state=seed, n_init=5, batch_size=1024).fit(table)
    centres = means.cluster_centers_.astype(np.float32)
    return QueryClasses(_names(centres, texts), weights, centres)


def sizes(fitted: QueryClasses, texts: Iterable[str]) -> list[ClassSize]:
    """How many texts are in each class, the largest first."""
    counts = Counter(map(fitted.of, texts))
    return [
        ClassSize(name, counts[name]) for name in sorted(fitted.names, key=lambda n: -counts[n])
    ]


class _Row(NamedTuple):
    buckets: NDArray[np.int32]
    counts: Float32s


def _words(text: str) -> list[str]:
    """Lower-case words and signs; all numbers are alike."""
    if len(text) > 2 * _LETTERS:
        text = f"{text[:_LETTERS]} {text[-_LETTERS:]}"
    return _WORD.findall(_DIGITS.sub("0", text.lower()))


def _buckets(text: str) -> _Row:
    words = [word.encode("utf-8", "replace") for word in _words(text)]
    pairs = [first + b" " + second for first, second in pairwise(words)]
    counts = Counter([crc32(term) % BUCKETS for term in (*words, *pairs)])
    return _Row(
        np.fromiter(counts, np.int32, len(counts)),
        np.fromiter(counts.values(), np.float32, len(counts)),
    )


def _names(centres: Float32s, texts: Sequence[str]) -> tuple[str, ...]:
    """The words by which a class stands out, after a mark of this very fit: classes of another fit
    are others, and their curves must not mix.
    """
    mark = hashlib.sha256(centres.tobytes()).hexdigest()[:6]
    common = Counter(word for text in texts for word in set(_words(text)) if word.isalpha())
    known: dict[int, str] = {}
    for word, _ in common.most_common():
        known.setdefault(crc32(word.encode("utf-8", "replace")) % BUCKETS, word)
    names: list[str] = []
    for row in centres - centres.mean(axis=0):
        words = [known[b] for b in np.argsort(-row) if b in known and row[b] > 0][:_NAME_WORDS]
        name = "-".join([mark, *words])
        taken = sum(other == name or other.startswith(f"{name}.") for other in names)
        names.append(f"{name}.{taken + 1}" if taken else name)
    return tuple(names)
