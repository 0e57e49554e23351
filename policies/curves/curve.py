"""What has been learned of one class of queries, and the plans that it recommends.

`fit` turns the sums of `ClassStatistics` into a frozen `ClassCurve` in milliseconds, away from the
request path. How much a class may differ from its parent depends on the observations of the class,
and on nothing else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from policies.curves.accuracy_estimate import AccuracyEstimate
from policies.curves.class_statistics import ClassStatistics
from policies.curves.exit_curve import ExitCurve, fit_exits
from policies.curves.extension_curve import ExtensionCurve, fit_extensions
from policies.curves.joint.curve import JointCurve, fit_joint
from policies.curves.length_curve import CAPS, LengthCurve, fit_lengths
from policies.curves.plan_table import Arm, ArmName, PlanTable, make_plan_table
from policies.curves.prices import nearest
from policies.curves.vote_curve import VoteCurve, fit_votes
from policies.curves.vote_rule import VoteRule, vote_rules

PRICE_LADDER = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)


class CurvePoint(NamedTuple):
    """One fixed setting on a curve: x is extensions, votes or thinking tokens; 95 % interval."""

    arm: ArmName
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
    #: Exploration runs of greedy chains.
    exploration_chains: float
    #: Exploration runs of votes.
    exploration_votes: float
    #: Accuracy that one token had to buy when it was fitted.
    price: float
    #: None before any greedy chain.
    extension: ExtensionCurve | None
    #: None before any vote.
    votes: VoteCurve | None
    #: None before any greedy chain.
    length: LengthCurve | None
    #: One for each price of the ladder, in the order of PRICE_LADDER.
    plan_tables: tuple[PlanTable, ...]
    #: None before any chain with trial answers.
    exits: ExitCurve | None = None
    #: None before any chain of a joint plan.
    joint: JointCurve | None = None
    #: Estimated accuracy by kind of plan; only plans with a checked answer.
    served: Mapping[str, AccuracyEstimate] = field(default_factory=dict)
    #: Queries that brought their reference answer.
    referenced: float = 0.0

    @property
    def referenced_share(self) -> float:
        """Of queries that bring their right answer."""
        return self.referenced / max(1.0, self.queries)

    @property
    def arms(self) -> tuple[Arm, ...]:
        return self.plan_table(self.price).arms

    def plan_table(self, price: float) -> PlanTable:
        """The table whose price is nearest by ratio."""
        return nearest(self.plan_tables, price)

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
        """For JSON: the counts, the points, and both tables at the curve's own price."""
        table = self.plan_table(self.price)
        goes_on = table.extension_rule.goes_on if table.extension_rule else ()
        votes_in = table.vote_rule.goes_on if table.vote_rule else []
        return {
            "queries": self.queries,
            "labelled": self.labelled,
            "price": self.price,
            "arms": [
                {
                    "name": arm.name,
                    "accuracy": arm.forecast.accuracy,
                    "tokens": arm.forecast.tokens,
                    "net_value": arm.net_value(self.price),
                    "max_thinking_tokens": arm.max_thinking_tokens,
                }
                for arm in table.arms
            ],
            "points": [point._asdict() for point in self.points()],
            "served": {plan: served._asdict() for plan, served in self.served.items()},
            "extend_at": sorted([*state] for state in goes_on),
            "repaired": list(self.extension.repaired) if self.extension else [],
            "spoilt": list(self.extension.spoilt) if self.extension else [],
            "vote_at": [[*standing] for standing in votes_in],
            "exit": self.exits.rule(self.price).as_dict() if self.exits else None,
            "joint": self.joint.table(self.price).as_dicts() if self.joint else [],
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

    Menus are made at these multiples of the price. `round_tokens` is what one more round of
    sampling is worth waiting for, in tokens: the larger, the more votes are drawn at once.
    """
    if not 0 < price < 1:
        raise ValueError(f"price must be in (0, 1), got {price!r}")
    if not 0 <= round_tokens < math.inf:
        raise ValueError(f"round_tokens must be finite and >= 0, got {round_tokens!r}")
    statistics = statistics.together()
    usual = ClassStatistics() if parent is None else parent.together()
    extension = fit_extensions(statistics.extensions, usual.extensions)
    votes = fit_votes(statistics.votes, usual.votes)
    length = None
    if extension is not None:
        length = fit_lengths(statistics.lengths, usual.lengths, accuracy_at_end=extension.right[0])
    prices = [price * step for step in ladder]
    rules: Sequence[VoteRule | None] = [None] * len(prices)
    if votes is not None:
        rules = vote_rules(votes, prices, round_tokens=round_tokens)
    exits = None
    if statistics.exits is not None:
        exits = fit_exits(statistics.exits, usual.exits, prices=prices)
    joint = None
    if statistics.joint is not None:
        joint = fit_joint(statistics.joint, usual.joint, prices=prices, round_tokens=round_tokens)
    return ClassCurve(
        statistics.queries,
        statistics.labelled,
        statistics.exploration_chains,
        statistics.exploration_votes,
        price,
        extension,
        votes.for_all() if votes else None,
        length,
        tuple(
            make_plan_table(extension, votes, length, at, rule)
            for at, rule in zip(prices, rules, strict=True)
        ),
        exits,
        joint,
        {plan: rate for plan, counts in statistics.served.items() if (rate := counts.served())},
        statistics.referenced,
    )
