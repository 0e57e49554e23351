"""What has been learned of one class of queries, and the plans that it recommends.

`fit` turns the sums of `ClassStatistics` into a frozen `ClassCurve` in milliseconds, away from the
request path. How much a class may differ from its parent depends on the observations of the class,
and on nothing else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from policies.curves.accuracy_estimate import AccuracyEstimate
from policies.curves.class_statistics import ClassStatistics
from policies.curves.extension_curve import ExtensionCurve
from policies.curves.length_curve import CAPS, LengthCurve, fit_lengths
from policies.curves.plans.curve import PlanCurve, fit_plans
from policies.curves.plans.table import PlanTable
from policies.curves.vote_curve import VoteCurve, fit_votes

PointKind = Literal["extensions", "votes", "cap"]
UNKNOWN_ACCURACY = 0.5
"""Of a class of which only cut chains are known."""
PRICE_LADDER = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)


class CurvePoint(NamedTuple):
    """One fixed setting on a curve: x is extensions, votes or thinking tokens; 95 % interval."""

    kind: PointKind
    x: int
    accuracy: float
    low: float
    high: float
    tokens: float


@dataclass(frozen=True, slots=True)
class ClassCurve:
    """A snapshot of one class: policies decide by it, reports draw it."""

    #: Queries behind it; a float, since old queries decay.
    queries: float
    #: Of them with a label.
    labelled: float
    #: Accuracy that one token had to buy when it was fitted.
    price: float
    #: None before any query; as the others.
    plans: PlanCurve | None = None
    #: Of votes, each a chain to its own end.
    votes: VoteCurve | None = None
    #: Of caps on the thinking of one chain.
    length: LengthCurve | None = None
    #: Estimated accuracy by what plans do with a chain; only those with a checked answer.
    served: Mapping[str, AccuracyEstimate] = field(default_factory=dict)
    #: Queries that brought their reference answer.
    referenced: float = 0.0

    @property
    def referenced_share(self) -> float:
        """Of queries that bring their right answer."""
        return self.referenced / max(1.0, self.queries)

    @property
    def extension(self) -> ExtensionCurve | None:
        """Of one chain, extended step by step; None before any was."""
        return self.plans.extension if self.plans else None

    def plan_table(self, price: float) -> PlanTable:
        """The table whose price is nearest by ratio; empty as long as nothing is known."""
        return self.plans.table(price) if self.plans else PlanTable(price, ())

    def points(self) -> list[CurvePoint]:
        points = []
        if self.extension:
            for extensions, accuracy in enumerate(self.extension.accuracy):
                span = self.extension.interval(extensions)
                points.append(
                    CurvePoint(
                        "extensions", extensions, accuracy, *span, self.extension.tokens[extensions]
                    )
                )
        if self.votes:
            for votes, accuracy in enumerate(self.votes.accuracy, start=1):
                span = self.votes.interval(votes)
                points.append(
                    CurvePoint("votes", votes, accuracy, *span, self.votes.tokens[votes - 1])
                )
        if self.length:
            for row, forecast in enumerate(self.length.forecasts):
                span = self.length.interval(row)
                points.append(
                    CurvePoint("cap", CAPS[row], forecast.accuracy, *span, forecast.tokens)
                )
        return points

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the counts, the points, and the plans at the curve's own price."""
        return {
            "queries": self.queries,
            "labelled": self.labelled,
            "price": self.price,
            "signal": self.plans.signal if self.plans else None,
            "plans": self.plan_table(self.price).as_dicts(),
            "points": [point._asdict() for point in self.points()],
            "served": {plan: served._asdict() for plan, served in self.served.items()},
            "repaired": list(self.extension.repaired) if self.extension else [],
            "spoilt": list(self.extension.spoilt) if self.extension else [],
        }


def fit(
    statistics: ClassStatistics,
    *,
    parent: ClassStatistics | None = None,
    price: float,
    round_tokens: float = 0.0,
    ladder: Sequence[float] = PRICE_LADDER,
) -> ClassCurve:
    """Snapshot of a class; `price` is the accuracy that one token must buy.

    Plan tables are made at these multiples of the price. `round_tokens` is what one more round of
    sampling is worth waiting for, in tokens: the larger, the more votes are drawn at once.
    """
    if not 0 < price < 1:
        raise ValueError(f"price must be in (0, 1), got {price!r}")
    if not 0 <= round_tokens < math.inf:
        raise ValueError(f"round_tokens must be finite and >= 0, got {round_tokens!r}")
    usual = ClassStatistics() if parent is None else parent
    prices = [price * step for step in ladder]
    plans = fit_plans(statistics.plans, usual.plans, prices=prices, round_tokens=round_tokens)
    votes_seen, votes_usual = (each.plans.votes_by("length") for each in (statistics, usual))
    votes = fit_votes(votes_seen, votes_usual, columns=False)
    once = plans.to_end.accuracy if plans else UNKNOWN_ACCURACY
    return ClassCurve(
        statistics.queries,
        statistics.labelled,
        price,
        plans,
        votes.for_all() if votes else None,
        fit_lengths(statistics.lengths, usual.lengths, accuracy_at_end=once),
        {plan: rate for plan, counts in statistics.served.items() if (rate := counts.served())},
        statistics.referenced,
    )
