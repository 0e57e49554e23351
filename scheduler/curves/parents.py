"""What a class leans on while it has few observations: the model's other classes, summed."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from policies.curves.class_statistics import ClassStatistics
from scheduler.curves.exchange import ClassKey

RELATIVES: Final = 32
"""So many other classes of its model, those with the most queries, are a class's parent."""
_GROWTH: Final = 1.02
"""The parent of many classes is summed anew when so much has been observed since."""


@dataclass(slots=True)
class _Largest:
    """The classes of a model with the most queries, and the sum of all but the last of them."""

    names: list[ClassKey]
    observed: int
    total: ClassStatistics | None = None


class Parents:
    """`statistics` gives the classes with their sums, and `queries` their sizes."""

    def __init__(
        self,
        statistics: Callable[[ClassKey], ClassStatistics],
        keys: Iterable[ClassKey],
        queries: Callable[[ClassKey], float],
    ) -> None:
        self._statistics, self._keys, self._queries = statistics, keys, queries
        self._largest: dict[str, _Largest] = {}

    def forget(self) -> None:
        """Classes are gone."""
        self._largest.clear()

    def of(self, key: ClassKey, observed: int) -> ClassStatistics:
        """The sums of a class's relatives; not to be changed. `observed` counts observations."""
        model = key[0]
        known = self._largest.get(model)
        if known is None or observed >= _GROWTH * known.observed:
            names = heapq.nlargest(
                RELATIVES + 1, (each for each in self._keys if each[0] == model), key=self._queries
            )
            known = self._largest[model] = _Largest(names, observed)
        if len(known.names) > RELATIVES and key not in known.names[:RELATIVES]:
            if known.total is None:
                known.total = self._sum(known.names[:RELATIVES])
            return known.total
        return self._sum([each for each in known.names if each != key][:RELATIVES])

    def _sum(self, keys: Iterable[ClassKey]) -> ClassStatistics:
        total = ClassStatistics()
        for key in keys:
            total.merge(self._statistics(key))
        return total
