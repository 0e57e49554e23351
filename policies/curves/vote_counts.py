"""What is counted of votes: queries by where their votes stood in the end.

Counts of (leader, runner-up, rest) are all that a vote needs (arXiv 2602.05395).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Any, NamedTuple, Self

from policies.curves.vote_types import INDEX, MAX_VOTES
from policies.tally import VoteStanding

MOST_TOKENS = 1e9
"""Of one query; more is a mistake."""


def length_bin(tokens: float) -> int:
    """Half octaves: a chain is in another bin than one that is twice as long, two bins away."""
    if not 0 <= tokens <= MOST_TOKENS:
        raise ValueError(f"first_tokens must be in [0, {MOST_TOKENS:g}], got {tokens!r}")
    return int(2 * math.log2(1 + tokens))


class Cell(NamedTuple):
    """Queries that ended at one standing; `right` and `wrong` are those whose leader was checked.

    `tokens` is what all their votes cost together.
    """

    unlabelled: float = 0.0
    right: float = 0.0
    wrong: float = 0.0
    tokens: float = 0.0

    @property
    def queries(self) -> float:
        return self.unlabelled + self.right + self.wrong


_NOTHING = Cell()
VoteState = tuple[int, VoteStanding]
"""Bin of the first chain's length, or of another signal, and the last standing."""


@dataclass(slots=True)
class VoteCounts:
    """A histogram of queries by the length of the first chain and by the last standing.

    Only what was seen is kept. Adding two is having observed both, scaling down is forgetting.
    """

    cells: dict[VoteState, Cell] = field(default_factory=dict)

    def observe(
        self,
        standing: VoteStanding,
        tokens: float,
        right: bool | None,
        *,
        first_tokens: float = 0.0,
        place: int | None = None,
    ) -> None:
        """One query: its last standing, the tokens of all voters, whether the leader is right.

        `place` is the bin of another signal than the length of the first chain.
        """
        if standing not in INDEX:
            raise ValueError(f"standing must be a vote of 1 to {MAX_VOTES}, got {standing!r}")
        if not 0 <= tokens <= MOST_TOKENS:
            raise ValueError(f"tokens must be in [0, {MOST_TOKENS:g}], got {tokens!r}")
        key = (length_bin(first_tokens) if place is None else place, standing)
        unlabelled, yes, no, spent = self.cells.get(key, _NOTHING)
        self.cells[key] = Cell(
            unlabelled + (right is None),
            yes + (right is True),
            no + (right is False),
            spent + tokens,
        )

    def relabel(self, labelled: Self, weight: float) -> None:
        """Queries that were counted without a label turn out to be right or wrong."""
        for key, cell in labelled.cells.items():
            old = self.cells.get(key, _NOTHING)
            shown = weight * (cell.right + cell.wrong)
            moved = weight * min(1.0, old.unlabelled / shown) if shown else 0.0
            right, wrong = moved * cell.right, moved * cell.wrong
            left = max(0.0, old.unlabelled - right - wrong)
            self.cells[key] = Cell(left, old.right + right, old.wrong + wrong, old.tokens)

    def merge(self, other: Self) -> None:
        for key, cell in other.cells.items():
            self.add(key, cell)

    def add(self, key: VoteState, cell: Cell) -> None:
        known = self.cells.get(key)
        self.cells[key] = cell if known is None else Cell(*map(add, known, cell))

    def scale(self, factor: float) -> None:
        for key, cell in self.cells.items():
            self.cells[key] = Cell(*(count * factor for count in cell))

    def of_length(self, length: int) -> "VoteCounts":
        """Only the queries whose first chain was so long."""
        return VoteCounts({key: cell for key, cell in self.cells.items() if key[0] == length})

    def lengths(self) -> dict[int, float]:
        """Queries by the length of their first chain."""
        queries: dict[int, float] = {}
        for (length, _), cell in self.cells.items():
            queries[length] = queries.get(length, 0.0) + cell.queries
        return queries

    def as_rows(self) -> list[list[float]]:
        """For JSON: length, leader, runner-up, rest, and the cell's four sums; in a fixed order."""
        keys = sorted(self.cells)
        return [[length, *standing, *self.cells[length, standing]] for length, standing in keys]

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[Any]]) -> Self:
        cells = {}
        for row in rows:
            if len(row) != 8 or VoteStanding(*row[1:4]) not in INDEX:
                raise ValueError(f"votes must have a standing and 4 sums in each row, got {row!r}")
            cell = Cell(*map(float, row[4:]))
            if not all(0 <= count < math.inf for count in cell):
                raise ValueError(f"votes must be finite and not negative, got {row!r}")
            cells[int(row[0]), VoteStanding(*row[1:4])] = cell
        return cls(cells)

    @property
    def queries(self) -> float:
        return sum(cell.queries for cell in self.cells.values())

    @property
    def labelled(self) -> float:
        return sum(cell.right + cell.wrong for cell in self.cells.values())
