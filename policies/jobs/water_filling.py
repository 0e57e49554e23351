"""Spends the budget of a job whose queries are all known: everything first, then what pays most.

A first pass asks every query at a high price, so that each has an answer before any gets much.
Later passes go on with the queries where the policy would spend more at a price that falls from
pass to pass. So tokens are bought in the order of what they bring, and the job may be ended at any
point: by its tokens, its time, or its accuracy. This is the greedy solution of the knapsack over
all queries, whose price of the last token is its Lagrange multiplier (equal slopes).
"""

import math
from dataclasses import dataclass
from typing import Self

from policies.price import DEFAULT_PRICE, HIGHEST, LOWEST

FALL = 1.5
"""The price of a pass is that of the last one divided by it. A finer ladder spends more evenly, and
reads all queries more often."""
FIRST = 4.0
"""The first price, where 1 says that a tenth of accuracy is worth the whole share of a query.

So dear that the first pass forces no extension in one go where the budget does not hold it: later
passes extend what stands.
"""
WITHOUT_BUDGET = 4.0 * DEFAULT_PRICE
"""The first price where tokens are not limited: a cheap pass, to be done with early."""
MOST_PASSES = 16
LEAST_KEPT = 0.85
"""Share of its part of the budget that is kept for a query at least. The queries that end first are
the cheap ones, so the mean of a few says too little."""
PILOT = 8
"""Queries after which it is known well enough what one costs at least."""


def first_price(tokens: float | None, queries: int) -> float:
    """Accuracy that a token must buy in the first pass over so many queries.

    `tokens` is the budget of all queries together; None: there is none.
    """
    if tokens is None:
        return WITHOUT_BUDGET
    return min(HIGHEST, max(LOWEST, FIRST * 0.1 * max(1, queries) / tokens))


def price_of(first: float, passes: int) -> float:
    """The price of a later pass; the first pass is number 0."""
    return max(LOWEST, first / FALL**passes)


FIRST_EXPLORED = 4
"""Queries of a job with a budget that are explored with before anything is known of its chains."""
SLACK, EXPLORING_CHAINS = 1.2, 120
"""Chains of each query, and chains of all exploration runs, that a budget must hold."""


@dataclass(frozen=True, slots=True)
class FirstChains:
    """What the first chains of a job's queries have cost, in tokens."""

    count: int = 0
    tokens: float = 0.0
    squares: float = 0.0

    def after(self, tokens: float) -> Self:
        return type(self)(self.count + 1, self.tokens + tokens, self.squares + tokens * tokens)

    @property
    def mean(self) -> float:
        return self.tokens / self.count if self.count else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean; infinite where it is not known."""
        if self.count < 2:
            return math.inf
        variance = max(0.0, self.squares / self.count - self.mean**2)
        return math.sqrt(variance / (self.count - 1))

    def bear_exploring(self, left: float | None, queries: int, begun: int) -> bool:
        """Whether so many tokens hold a chain of each query, and exploration runs besides.

        None: no limit. As long as nothing is known a few that have begun may try.
        """
        if left is None or not self.count:
            return left is None or begun <= FIRST_EXPLORED
        return left > self.mean * (SLACK * queries + EXPLORING_CHAINS)

    def needed(self, queries: int) -> float:
        """Tokens for one chain of each query, at least: two standard errors below the estimate."""
        low = self.mean - 2 * self.error if math.isfinite(self.error) else 0.0
        return queries * max(0.0, low)


def reserve(chains: FirstChains, queries: int, tokens: float, of: int) -> float:
    """Tokens that will do for one chain of each of so many queries, but for bad luck.

    It is most of their share of the `tokens` of all `of` queries, or more where chains are long.
    """
    share = tokens * queries / max(1, of)
    if chains.count < PILOT:
        return LEAST_KEPT * share
    spread = chains.error * math.sqrt(chains.count - 1)
    needed = queries * chains.mean + 3 * spread * math.sqrt(queries)
    return min(tokens, max(LEAST_KEPT * share, needed))


def can_hold(tokens: float, queries: int, chains: FirstChains) -> bool:
    """Whether a budget can hold one chain of every query, as far as is known.

    `tokens` is what is left for so many queries that have no answer yet.
    """
    if chains.count < PILOT:
        return True
    return chains.needed(queries) <= tokens


def next_gain(price: float, tokens: float) -> float:
    """Accuracy, summed over all queries, that so many more tokens would bring at most.

    A pass has ended at this price: nothing that it left undone brings more per token.
    """
    return price * tokens
