"""What a controller did of late, for people who look on: prices, tokens, tenants, decisions.

It is of one process and since its start, bounded in memory, and holds no texts of queries. Metrics
have the counts for ever; this has what they cannot have: the course of the last minutes, and why
each of the last queries got its plan.
"""

import hashlib
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scheduler.solving.explanation import explain
from scheduler.solving.outcome import Outcome

SLICE_SECONDS = 5
SLICES = 240
DECISIONS = 30
MAX_NAMES = 50
OTHERS = "other"


class TokenCell(NamedTuple):
    """Where tokens went: a class of queries, and the plan that they got."""

    query_class: str
    plan: str


@dataclass(slots=True)
class TrafficSlice:
    """The queries that ended within SLICE_SECONDS.

    `began` is Unix time; `price` the common price at the end, `paid` the prices that the queries
    had to pay: lowest, sum, highest. `load` and `chance` are sums over queries; `guessed` counts
    those with a chance, `checked` those with a reference answer.
    """

    began: int
    price: float
    paid: tuple[float, float, float]
    queries: int = 0
    tokens: int = 0
    load: float = 0.0
    chance: float = 0.0
    guessed: int = 0
    checked: int = 0
    right: int = 0

    def row(self) -> list[float | None]:
        """Time; queries; tokens a query; price; paid: lowest, mean, highest; load; chance; right.

        Means over the slice's queries; None where no query had it.
        """
        low, total, high = self.paid
        return [
            self.began,
            self.queries,
            round(self.tokens / self.queries, 1),
            self.price,
            low,
            total / self.queries,
            high,
            round(self.load / self.queries, 3),
            round(self.chance / self.guessed, 4) if self.guessed else None,
            round(self.right / self.checked, 4) if self.checked else None,
        ]


@dataclass(slots=True)
class Activity:
    """`clock` gives Unix time in seconds. `name` tells the processes of one server apart."""

    clock: Callable[[], float] = time.time
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    since: float = field(init=False)
    slices: deque[TrafficSlice] = field(default_factory=lambda: deque(maxlen=SLICES))
    decisions: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=DECISIONS))
    #: Tokens by kind, by class and plan.
    tokens: dict[TokenCell, Counter[str]] = field(default_factory=dict)
    #: Queries by class and plan.
    queries: Counter[TokenCell] = field(default_factory=Counter)
    #: Queries and tokens by tenant.
    tenants: dict[str, Counter[str]] = field(default_factory=dict)
    #: Tenants that are names of keys.
    _keys: set[str] = field(default_factory=set)
    _names: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.since = self.clock()

    def settled(
        self, outcome: Outcome, *, price: float, tenant: str, has_key: bool, reads_curves: bool
    ) -> None:
        """Count an answered query; `price` is the common one after it.

        `reads_curves` is what its policy declares.
        """
        self._count(outcome, tenant, has_key)
        self._slice(outcome, price)
        self.decisions.append(self._summary(outcome, explain(outcome, reads_curves=reads_curves)))

    def _count(self, outcome: Outcome, tenant: str, has_key: bool) -> None:
        plan = outcome.plan.name if outcome.plan else outcome.policy
        cell = TokenCell(
            self._bounded("class", outcome.query.query_class), self._bounded("plan", plan)
        )
        self.queries[cell] += 1
        self.tokens.setdefault(cell, Counter()).update(outcome.tokens._asdict())
        name = self._bounded("tenant", tenant)
        if has_key:
            self._keys.add(name)
        self.tenants.setdefault(name, Counter()).update(queries=1, tokens=outcome.tokens.total)

    def _slice(self, outcome: Outcome, price: float) -> None:
        began = int(self.clock()) // SLICE_SECONDS * SLICE_SECONDS
        paid = outcome.price
        if not self.slices or self.slices[-1].began != began:
            self.slices.append(TrafficSlice(began, price, (paid, 0.0, paid)))
        now = self.slices[-1]
        low, total, high = now.paid
        now.price, now.paid = price, (min(low, paid), total + paid, max(high, paid))
        now.queries += 1
        now.tokens += outcome.tokens.total
        now.load += outcome.considered.load
        if outcome.chance is not None:
            now.chance += outcome.chance
            now.guessed += 1
        if outcome.correct is not None:
            now.right += outcome.correct
            now.checked += 1

    def _summary(self, outcome: Outcome, reason: str) -> dict[str, Any]:
        plan, samples = outcome.plan, [record.sample for record in outcome.records]
        return {
            "time": round(self.clock(), 1),
            "id": outcome.query.id,
            "class": outcome.query.query_class,
            "policy": outcome.policy,
            "plan": plan.name if plan else None,
            "is_exploration": bool(plan and plan.is_exploration),
            "reason": reason,
            "stop_reason": outcome.stop_reason,
            "chains": len({sample.chain for sample in samples}),
            "extensions": max((sample.extensions for sample in samples), default=0),
            "tokens": outcome.tokens.total,
            "seconds": round(outcome.seconds, 2),
            "price": outcome.price,
            "agreement": round(outcome.agreement, 3),
            "chance": None if outcome.chance is None else round(outcome.chance, 3),
            "correct": outcome.correct,
        }

    def _bounded(self, kind: str, name: str) -> str:
        """Callers choose names: past MAX_NAMES of a kind, they count as others."""
        known = self._names.setdefault(kind, set())
        if name not in known and len(known) >= MAX_NAMES:
            return OTHERS
        known.add(name)
        return name

    def shown(self, tenant: str) -> str:
        """The name of a key as it is. A caller's name for its user may be personal: a hash of it,
        as in the request log.
        """
        if not tenant or tenant == OTHERS or tenant in self._keys:
            return tenant
        return f"user {hashlib.sha256(tenant.encode()).hexdigest()[:12]}"
