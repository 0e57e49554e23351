"""The plan table of a class at one price: the best rule of every way to spend, best first."""

import math
from dataclasses import dataclass
from typing import Literal

from policies.curves.counts import upper_standard_error
from policies.curves.extension_curve import ExtensionCurve, ExtensionRule
from policies.curves.length_curve import CAPS, LengthCurve
from policies.curves.vote_curve import VoteCurve
from policies.curves.vote_rule import VoteRule
from policies.plan import Forecast

ArmName = Literal["extensions", "votes", "cap"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to spend, and what it is expected to reach.

    `error` is the standard error of the accuracy. `name` is
    an `ArmName`, or a setting of a joint plan. `price` is the price at which its rule is best,
    None for a cap; `max_thinking_tokens` is the cap, None for the others.
    """

    name: str
    forecast: Forecast
    error: float
    max_thinking_tokens: int | None = None
    price: float | None = None

    @property
    def accuracy_lower_bound(self) -> float:
        """Accuracy less one standard error.

        The cheapest of many that look good enough is not quite as good (the winner's curse).
        """
        return self.forecast.accuracy - self.error

    def net_value(self, price: float) -> float:
        """Accuracy less the price of its tokens."""
        return self.forecast.accuracy - price * self.forecast.tokens

    def chance_over(self, other: "Arm", price: float) -> float:
        """Chance that its net value is above that of another, learned from other chains."""
        gap = other.net_value(price) - self.net_value(price)
        return math.erfc(gap / math.hypot(self.error, other.error) / math.sqrt(2)) / 2


@dataclass(frozen=True, slots=True)
class PlanTable:
    """The best rule of every arm at one price, best arm first."""

    price: float
    arms: tuple[Arm, ...]
    extension_rule: ExtensionRule | None
    vote_rule: VoteRule | None


def make_plan_table(
    extension: ExtensionCurve | None,
    votes: VoteCurve | None,
    length: LengthCurve | None,
    price: float,
    vote_rule: VoteRule | None,
) -> PlanTable:
    arms = []
    extension_rule = extension.rule(price) if extension else None
    if extension and extension_rule:
        forecast = extension_rule.forecast
        error = upper_standard_error(forecast.accuracy, extension.labelled)
        arms.append(Arm("extensions", forecast, error, price=price))
    if votes and vote_rule:
        forecast = vote_rule.forecast
        error = upper_standard_error(forecast.accuracy, votes.labels[0])
        arms.append(Arm("votes", forecast, error, price=price))
    if length and len(length.forecasts) > 1:
        caps = [
            Arm(
                "cap", forecast, upper_standard_error(forecast.accuracy, length.labelled), CAPS[row]
            )
            for row, forecast in enumerate(length.forecasts[:-1])
        ]
        arms.append(max(caps, key=lambda arm: arm.net_value(price)))
    arms.sort(key=lambda arm: arm.net_value(price), reverse=True)
    return PlanTable(price, tuple(arms), extension_rule, vote_rule)
