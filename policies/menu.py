"""What a class offers at one price: the best rule of every way to spend, best first."""

from dataclasses import dataclass
from typing import Literal

from policies.extension_curve import ExtensionCurve, ExtensionRule
from policies.length_curve import CAPS, LengthCurve
from policies.plan import Forecast
from policies.vote_curve import VoteCurve
from policies.vote_rule import VoteRule

ArmName = Literal["waits", "votes", "cap"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to spend: what it is expected to reach. `error` is the accuracy's standard error."""

    name: ArmName
    forecast: Forecast
    error: float
    max_thinking_tokens: int | None = None

    def worth(self, price: float, *, hope: float = 0.0) -> float:
        """Accuracy less the price of its tokens; `hope` adds that many standard errors."""
        accuracy = min(1.0, self.forecast.accuracy + hope * self.error)
        return accuracy - price * self.forecast.tokens


@dataclass(frozen=True, slots=True)
class Menu:
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
) -> Menu:
    arms = []
    extension_rule = extension.rule(price) if extension else None
    if extension and extension_rule:
        arms.append(Arm("waits", extension_rule.forecast, max(extension.errors)))
    if votes and vote_rule:
        arms.append(Arm("votes", vote_rule.forecast, votes.interval(1).error))
    if length and len(length.forecasts) > 1:
        caps = [
            Arm("cap", forecast, length.interval(row).error, CAPS[row])
            for row, forecast in enumerate(length.forecasts[:-1])
        ]
        arms.append(max(caps, key=lambda arm: arm.worth(price)))
    arms.sort(key=lambda arm: arm.worth(price), reverse=True)
    return Menu(price, tuple(arms), extension_rule, vote_rule)
