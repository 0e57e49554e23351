"""Exploration runs under way, by class and plan: a cold class needs few, however many queries
come.
"""

from collections import Counter
from collections.abc import Mapping

from policies.plan import Plan


class ExplorationRuns:
    def __init__(self) -> None:
        self._under_way: dict[str, Counter[str]] = {}
        self._all = 0

    def of(self, query_class: str) -> Mapping[str, int]:
        return self._under_way.get(query_class, {})

    def elsewhere(self, query_class: str) -> int:
        """Those of all other classes."""
        return self._all - sum(self.of(query_class).values())

    def begin(self, query_class: str, plan: Plan) -> None:
        self._under_way.setdefault(query_class, Counter())[plan.name] += 1
        self._all += 1

    def end(self, query_class: str, plan: Plan) -> None:
        """Classes without any are forgotten, as there may be very many."""
        plans = self._under_way[query_class]
        plans[plan.name] -= 1
        self._all -= 1
        if not plans.total():
            del self._under_way[query_class]

    def __bool__(self) -> bool:
        return bool(self._under_way)
