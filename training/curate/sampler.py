"""The paper's sampler: difficulty first, then domains, then long traces (s1, sections 2.2, 3).

A set begins with the preselected rows. Then, until it has its size, a domain is drawn: uniformly
from those that have rows left while the set is below `uniform_until`, later by how often the
domains occur in the two benchmarks. One row of it is drawn with weight 2^-rank, where rank 0 has
the longest trace, and leaves its domain. Preselected rows stay in their domains, so a draw may add
nothing. The paper's code sets no seed; ours needs one.

Everything works on row numbers. Rows of equal length are ranked by their place: the last is first.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Pool(NamedTuple):
    """What is known of every row: its domain, and its thinking in tokens; both of shape (rows,)."""

    domains: Sequence[str]
    lengths: NDArray[np.int64]


class Benchmarks(NamedTuple):
    """Domains of the pool's rows that come from each of the two benchmarks (GPQA and AIME)."""

    first: Sequence[str]
    second: Sequence[str]

    def weights(self) -> dict[str, float]:
        """The chance of each domain in the second phase; empty if a benchmark has no rows.

        The first benchmark is scaled to half the rows of the second, each count rounded down.
        """
        first, second = Counter(self.first), Counter(self.second)
        if not first or not second:
            return {}
        ratio = 0.5 * second.total() / first.total()
        scaled = Counter({domain: int(count * ratio) for domain, count in first.items()})
        counts = scaled + second
        return {domain: count / counts.total() for domain, count in counts.items()}


class _Domain:
    """The rows of one domain that are left, longest first."""

    def __init__(self, rows: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        self.rows = rows[np.argsort(lengths[rows], kind="stable")[::-1]]

    def draw(self, rng: np.random.Generator) -> int:
        """A row, with weight 2^-rank; it is not drawn again."""
        rank = int(rng.choice(len(self.rows), p=rank_weights(len(self.rows))))
        row = int(self.rows[rank])
        self.rows = np.delete(self.rows, rank)
        return row


def rank_weights(rows: int) -> NDArray[np.float64]:
    """2^-rank, normalised; shape (rows,)."""
    weights = np.power(2.0, -np.arange(rows, dtype=np.float64))
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised


def sample(
    pool: Pool,
    size: int,
    rng: np.random.Generator,
    *,
    preselected: Iterable[int] = (),
    uniform_until: int | None = None,
    weights: Mapping[str, float] | None = None,
) -> list[int]:
    """Sorted row numbers of the set: `size` of them, or all preselected ones if those are more.

    `uniform_until` of None draws all domains uniformly. Where no domain that has a weight has rows
    left, domains are drawn uniformly again. Raises ValueError if the pool is smaller than the set.
    """
    if size > len(pool.domains):
        raise ValueError(f"select.size is {size}, and only {len(pool.domains)} rows are left")
    chosen = set(preselected)
    domains = _domains(pool)
    open_weights = {d: w for d, w in (weights or {}).items() if d in domains and w > 0}
    while len(chosen) < size:
        weighted = open_weights and uniform_until is not None and len(chosen) >= uniform_until
        name = _draw_name(open_weights if weighted else dict.fromkeys(domains, 1.0), rng)
        chosen.add(domains[name].draw(rng))
        if not len(domains[name].rows):
            del domains[name]
            open_weights.pop(name, None)
    return sorted(chosen)


def _domains(pool: Pool) -> dict[str, _Domain]:
    names, numbers = np.unique(np.asarray(pool.domains), return_inverse=True)
    return {
        str(name): _Domain(np.flatnonzero(numbers == number), pool.lengths)
        for number, name in enumerate(names)
    }


def _draw_name(weights: Mapping[str, float], rng: np.random.Generator) -> str:
    names = list(weights)
    chances = np.array([weights[name] for name in names])
    return names[int(rng.choice(len(names), p=chances / chances.sum()))]


def longest(lengths: ArrayLike, size: int) -> list[int]:
    """Sorted row numbers of the longest traces, the earlier of equal ones (s1, 1K-longest)."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return sorted(order[:size].tolist())


def uniform(rows: int, size: int, rng: np.random.Generator) -> list[int]:
    """Sorted row numbers, each set of them as likely (s1, 1K-random)."""
    return sorted(rng.choice(rows, size=min(size, rows), replace=False).tolist())
