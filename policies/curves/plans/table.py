"""A plan that may be taken, what it should give, and the best few of them at one price."""

from dataclasses import dataclass
from typing import Any

from policies.curves.plans.settings import ChainSetting
from policies.curves.vote_curve import VoteCurve
from policies.curves.vote_rule import VoteRule
from policies.curves.vote_types import INDEX, after_vote
from policies.plan import Forecast
from policies.tally import VoteStanding

MOST_VOTES = 24
"""Votes of a query at most that plans are made for."""


@dataclass(frozen=True, slots=True)
class PlanOption:
    """A setting, when to draw more votes, and what that should give."""

    setting: ChainSetting
    #: That of its table.
    price: float
    votes: VoteRule
    forecast: Forecast
    curve: VoteCurve
    #: Standard error of the accuracy.
    error: float
    #: What votes bring here, over what they bring in the curve.
    share: float
    #: Tokens of one chain, over those of one in the curve.
    length: float
    #: Accuracy of one chain.
    once: float
    #: Whether it is one greedy chain, where those that vote are sampled.
    is_alone: bool = False

    def __str__(self) -> str:
        """As people read it."""
        return str(self.setting) if self.votes.is_one_vote else f"votes, each {self.setting}"

    @property
    def chains(self) -> float:
        """Of a mean query."""
        return self.votes.forecast.tokens / self.curve.first_tokens

    def chance(self, standing: VoteStanding) -> float | None:
        """That the leader is right; None where no so many votes are known."""
        row = INDEX.get(standing)
        if row is None or row >= len(self.curve.right):
            return None
        more = float(self.curve.right[row, 0]) - self.curve.accuracy[0]
        return min(1.0, max(0.0, self.once + self.share * more))

    def next_vote(self, standing: VoteStanding) -> Forecast | None:
        """Accuracy that one more vote brings, and its tokens; None where none is known."""
        row = INDEX.get(standing)
        if row is None or sum(standing) >= MOST_VOTES:
            return None
        right = self.curve.right[:, 0]
        lead, second = float(self.curve.leads[row, 0]), float(self.curve.seconds[row, 0])
        after = [float(right[place]) for place in after_vote(standing)]
        mean = lead * after[0] + second * after[1] + (1 - lead - second) * after[2]
        return Forecast(
            self.share * (mean - float(right[row])),
            self.length * float(self.curve.next_tokens[row, 0]),
        )


@dataclass(frozen=True, slots=True)
class PlanTable:
    """The plans at one price, best first."""

    price: float
    plans: tuple[PlanOption, ...]

    def plan(self, setting: ChainSetting, *, is_alone: bool = False) -> PlanOption | None:
        """The one with this setting, or of its kind, if it is among the best few."""
        same = [plan for plan in self.plans if plan.setting.kind == setting.kind]
        return max(
            same,
            key=lambda plan: (plan.is_alone == is_alone, plan.setting.value == setting.value),
            default=None,
        )

    def as_dicts(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [
            {
                "name": str(plan),
                "kind": plan.setting.kind,
                "chains": plan.chains,
                "accuracy": plan.forecast.accuracy,
                "tokens": plan.forecast.tokens,
                "net_value": plan.forecast.net_value(self.price),
            }
            for plan in self.plans
        ]
