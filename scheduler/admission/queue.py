"""The line of those who wait: by tier, and within a tier one caller after the other."""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

# Turns that tiers get when all of them wait: even the last one gets some.
WEIGHTS = {"priority": 16, "default": 4, "flex": 1}
TIERS = tuple(WEIGHTS)


def tier_of(priority: int) -> str:
    """The tier of a query's priority, the lower the sooner, as engines count it."""
    return "default" if priority == 0 else "priority" if priority < 0 else "flex"


@dataclass(slots=True)
class _Tier(Generic[T]):
    """`passed` is how far its turns have come (stride scheduling: Waldspurger and Weihl, 1995)."""

    weight: int
    callers: dict[str, deque[T]] = field(default_factory=dict)
    passed: float = 0.0

    @property
    def longest(self) -> deque[T]:
        return max(self.callers.values(), key=len, default=deque())


class FairQueue(Generic[T]):
    """Nobody is passed over for ever: every tier has turns, and in it every caller."""

    def __init__(self) -> None:
        self._tiers = {name: _Tier[T](weight) for name, weight in WEIGHTS.items()}
        self._passed = 0.0
        self.waiting = 0

    def add(self, item: T, *, caller: str, tier: str) -> None:
        line = self._tiers[tier]
        if not line.callers:
            # A tier that had nobody waiting has saved nothing up.
            line.passed = max(line.passed, self._passed)
        line.callers.setdefault(caller, deque()).append(item)
        self.waiting += 1

    def pop(self) -> T:
        """Whose turn it is; there must be somebody."""
        line = min((t for t in self._tiers.values() if t.callers), key=lambda t: t.passed)
        self._passed = line.passed
        line.passed += 1 / line.weight
        caller = next(iter(line.callers))
        items = line.callers.pop(caller)
        item = items.popleft()
        if items:
            line.callers[caller] = items
        self.waiting -= 1
        return item

    def remove(self, item: T, *, caller: str, tier: str) -> None:
        callers = self._tiers[tier].callers
        callers[caller].remove(item)
        if not callers[caller]:
            del callers[caller]
        self.waiting -= 1

    def yields(self, *, caller: str, tier: str) -> T | None:
        """Who gives way to a newcomer when the line is full; None: nobody.

        The last who came of a lower tier's, or else the same tier's, longest line, if that is still
        longer than the newcomer's own would be (longest queue drop).
        """
        for lower in reversed(TIERS[TIERS.index(tier) + 1 :]):
            if longest := self._tiers[lower].longest:
                return longest[-1]
        own = len(self._tiers[tier].callers.get(caller, ())) + 1
        longest = self._tiers[tier].longest
        return longest[-1] if len(longest) > own else None
