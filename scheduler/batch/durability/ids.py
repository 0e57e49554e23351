"""A set of texts in 16 bytes each: which ids a job has seen, and which it has answered."""

import hashlib
from array import array
from collections.abc import Iterable

_FIRST = 1 << 10


class IdSet:
    """Holds 64-bit hashes in an open table.

    Two of a million ids share a hash with a chance of 3e-8; the later of them would be refused as
    coming twice.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._table = array("Q", bytes(8 * _FIRST))
        self._count = 0
        for each in ids:
            self.add(each)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, text: str) -> bool:
        return self._table[self._place(_hash(text))] != 0

    def add(self, text: str) -> bool:
        """False if it was there."""
        value = _hash(text)
        place = self._place(value)
        if self._table[place]:
            return False
        self._table[place] = value
        self._count += 1
        if 2 * self._count > len(self._table):
            self._grow()
        return True

    def _place(self, value: int) -> int:
        """Where a hash is, or would be."""
        table, mask = self._table, len(self._table) - 1
        place = value & mask
        while table[place] and table[place] != value:
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        held, self._table = self._table, array("Q", bytes(16 * len(self._table)))
        for value in held:
            if value:
                self._table[self._place(value)] = value


def _hash(text: str) -> int:
    """Never 0, which is a free place."""
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1
