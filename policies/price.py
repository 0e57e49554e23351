"""What accuracy one token must buy, fixed or steered towards a token budget."""

import math
from dataclasses import dataclass, replace
from typing import Self

LOWEST, HIGHEST = 1e-9, 1e-2


@dataclass(frozen=True, slots=True)
class Price:
    """Accuracy per token. With a budget, spending above it raises the price, below lowers it.

    The update is multiplicative, price * exp(rate * (tokens / budget - 1)): dual mirror descent
    for one resource (Balseiro, Lu and Mirrokni, arXiv 2011.10124), which needs to know nothing of
    the queries to come. The first queries move it faster; one query counts as six budgets at most.
    """

    per_token: float
    tokens_per_query: float | None = None
    queries: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.per_token < 1:
            raise ValueError(f"per_token must be in (0, 1), got {self.per_token!r}")
        budget = self.tokens_per_query
        if budget is not None and not 0 < budget < math.inf:
            raise ValueError(f"tokens_per_query must be positive and finite, got {budget!r}")

    @classmethod
    def fixed(cls, per_token: float) -> Self:
        return cls(per_token)

    @classmethod
    def for_budget(cls, tokens_per_query: float) -> Self:
        """Starts where the whole budget must buy a tenth of accuracy."""
        if not 0 < tokens_per_query < math.inf:
            raise ValueError(
                f"tokens_per_query must be positive and finite, got {tokens_per_query!r}"
            )
        return cls(_clipped(0.1 / tokens_per_query), tokens_per_query)

    def after(self, tokens_spent: float) -> Self:
        """The price for the query after one that took this many tokens."""
        if self.tokens_per_query is None:
            return self
        rate = 0.1 if self.queries < 500 else 0.02
        excess = min(5.0, tokens_spent / self.tokens_per_query - 1.0)
        price = _clipped(self.per_token * math.exp(rate * excess))
        return replace(self, per_token=price, queries=self.queries + 1)


def _clipped(price: float) -> float:
    return min(HIGHEST, max(LOWEST, price))
