"""Who pays more: a tenant that spends above its share, as long as others want theirs.

Weighted proportional fairness maximises the sum of weight * log(tokens) over tenants; its price is
proportional to tokens / weight. Nobody pays less than the common price, and who is alone pays it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

MEMORY_QUERIES = 200
LEAST_PART = 0.01
"""A tenant with less than this part of recent tokens is not there any more."""


@dataclass(slots=True)
class Shares:
    """`weights` names tenants that weigh more or less than 1. What is kept is recent tokens."""

    weights: Mapping[str, float] = field(default_factory=dict)
    _recent: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for tenant, weight in self.weights.items():
            if not 0 < weight < math.inf:
                raise ValueError(f"shares.{tenant} must be positive and finite, got {weight!r}")

    def factor(self, tenant: str) -> float:
        """How many times the common price this tenant pays: its part of tokens over its share."""
        mine = self._recent.get(tenant, 0.0)
        if not mine:
            return 1.0
        share = self._weight(tenant) / sum(map(self._weight, self._recent))
        return max(1.0, mine / sum(self._recent.values()) / share)

    def charge(self, tenant: str, tokens: float) -> None:
        """Count a query's tokens; what all spent before counts a little less."""
        recent = self._recent
        recent[tenant] = recent.get(tenant, 0.0) + tokens
        least = LEAST_PART * sum(recent.values())
        kept = 1 - 1 / MEMORY_QUERIES
        self._recent = {name: spent * kept for name, spent in recent.items() if spent >= least}

    def _weight(self, tenant: str) -> float:
        return self.weights.get(tenant, 1.0)
