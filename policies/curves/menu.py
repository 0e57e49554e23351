"""What a class offers at one price: the best rule of every way to spend, best first."""

import math
from dataclasses import dataclass
from typing import Literal

from policies.curves.counts import upwards
from policies.curves.extension_curve import ExtensionCurve, ExtensionRule
from policies.curves.length_curve import CAPS, LengthCurve
from policies.curves.vote_curve import VoteCurve
from policies.curves.vote_rule import VoteRule
from policies.plan import Forecast

ArmName = Literal["extensions", "votes", "cap"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to spend: what it is expected to reach.

    `error` is by how much the accuracy may well be higher, one standard error; `price` that at
    which its rule is the best.
    """

    name: ArmName
    forecast: Forecast
    error: float
    max_thinking_tokens: int | None = None
    price: float | None = None

    @property
    def surely(self) -> float:
        """Accuracy less one standard error.

        The cheapest of many that look good enough is not quite as good (the winner's curse).
        """
        return self.forecast.accuracy - self.error

    def worth(self, price: float) -> float:
        """Accuracy less the price of its tokens."""
        return self.forecast.accuracy - price * self.forecast.tokens

    def chance_over(self, other: "Arm", price: float) -> float:
        """Chance that it is worth more than another, which was learned from other chains."""
        gap = other.worth(price) - self.worth(price)
        return math.erfc(gap / math.hypot(self.error, other.error) / math.sqrt(2)) / 2


@dataclass(frozen=True, slots=True)
class PlanTable:
    """The best rule of every arm at one price, best arm first."""

    price: float
    arms: tuple[Arm, ...]
    extension_rule: ExtensionRule | None
    vote_rule: VoteRule | None


def menu_at(
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
        error = upwards(forecast.accuracy, extension.labelled)
        arms.append(Arm("extensions", forecast, error, price=price))
    if votes and vote_rule:
        forecast = vote_rule.forecast
        error = upwards(forecast.accuracy, votes.labels[0])
        arms.append(Arm("votes", forecast, error, price=price))
    if length and len(length.forecasts) > 1:
        caps = [
            Arm("cap", forecast, upwards(forecast.accuracy, length.labelled), CAPS[row])
            for row, forecast in enumerate(length.forecasts[:-1])
        ]
        arms.append(max(caps, key=lambda arm: arm.worth(price)))
    arms.sort(key=lambda arm: arm.worth(price), reverse=True)
    return PlanTable(price, tuple(arms), extension_rule, vote_rule)
