"""What has been learned of one class of queries, and the plans that it recommends.

`ClassStatistics` are sums: observing adds, merging adds, forgetting scales. `fit` turns them into
a frozen `ClassCurve` in milliseconds, away from the request path. How much a class may differ from
its parent depends on what was seen of it, and on nothing else.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, Self

from policies.extension_curve import (
    ExtensionCounts,
    ExtensionCurve,
    ExtensionRule,
    fit_extensions,
)
from policies.length_curve import CAPS, LengthCounts, LengthCurve, fit_lengths
from policies.plan import Budget, Forecast, Plan
from policies.tally import Ballot, Tally
from policies.vote_curve import VoteCounts, VoteCurve, VoteRule, fit_votes
from policies.vote_types import MAX_VOTES

VERSION = 1
ArmName = Literal["waits", "votes", "cap"]
_PRICE_LADDER = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class Observation:
    """One answered query. `right` tells of checked answers; it is empty without a label."""

    query_class: str
    history: tuple[Ballot, ...]
    budget: Budget
    temperature: float | None
    plan: Plan | None = None
    right: Mapping[str, bool] = field(default_factory=dict)

    def truth(self, answer: str | None) -> bool | None:
        """Whether an answer is right; no answer at all is wrong as soon as any label is known."""
        if answer is None:
            return False if self.right else None
        return self.right.get(answer)

    def is_cut(self, ballot: Ballot) -> bool:
        is_full = ballot.thinking_tokens >= self.budget.max_thinking_tokens
        return is_full or ballot.stop_cause in ("max_thinking", "context")


@dataclass(slots=True)
class ClassStatistics:
    """Everything that is kept of one class: a few hundred sums."""

    queries: float = 0.0
    labelled: float = 0.0
    shadow_chains: float = 0.0
    shadow_votes: float = 0.0
    extensions: ExtensionCounts = field(default_factory=ExtensionCounts)
    votes: VoteCounts = field(default_factory=VoteCounts)
    lengths: LengthCounts = field(default_factory=LengthCounts)

    def observe(self, observation: Observation) -> None:
        """Greedy chains tell of "Wait" and of caps, sampled ones of votes."""
        self.queries += 1.0
        self.labelled += bool(observation.right)
        is_shadow = observation.plan is not None and observation.plan.shadow
        if observation.temperature == 0.0:
            self.shadow_chains += is_shadow
            self._observe_chain(observation)
        else:
            self.shadow_votes += is_shadow
            self._observe_votes(observation)

    def _observe_chain(self, observation: Observation) -> None:
        number = observation.history[0].chain if observation.history else 0
        chain = [ballot for ballot in observation.history if ballot.chain == number]
        ends: list[Ballot] = []
        for ballot in chain:
            if ballot.extensions != len(ends) or ballot.answer is None:
                break
            ends.append(ballot)
        if not ends:
            return
        first = ends[0]
        self.lengths.observe(
            first.thinking_tokens,
            answer_tokens=first.tokens - first.thinking_tokens,
            is_cut=observation.is_cut(first),
            right=observation.truth(first.answer),
        )
        whole = [ballot for ballot in ends if not observation.is_cut(ballot)]
        if whole and whole[0] is first:
            self.extensions.observe(whole, [observation.truth(end.answer) for end in whole])

    def _observe_votes(self, observation: Observation) -> None:
        tally = Tally(observation.history)
        votes = tally.voting[:MAX_VOTES]
        if not votes or any(ballot.extensions for ballot in votes):
            return
        tally = Tally(votes)
        self.votes.observe(tally.standing, tally.tokens, observation.truth(tally.leader))

    def merge(self, other: Self) -> None:
        self.queries += other.queries
        self.labelled += other.labelled
        self.shadow_chains += other.shadow_chains
        self.shadow_votes += other.shadow_votes
        self.extensions.merge(other.extensions)
        self.votes.merge(other.votes)
        self.lengths.merge(other.lengths)

    def scale(self, factor: float) -> None:
        """Forget: what was seen counts `factor` times as much."""
        if not 0 <= factor <= 1:
            raise ValueError(f"factor must be in [0, 1], got {factor!r}")
        self.queries *= factor
        self.labelled *= factor
        self.shadow_chains *= factor
        self.shadow_votes *= factor
        for counts in (self.extensions, self.votes, self.lengths):
            counts.scale(factor)

    def as_dict(self) -> dict[str, Any]:
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        if stored.get("version") != VERSION:
            raise ValueError(f"version must be {VERSION}, got {stored.get('version')!r}")
        return cls(
            float(stored["queries"]),
            float(stored["labelled"]),
            float(stored["shadow_chains"]),
            float(stored["shadow_votes"]),
            ExtensionCounts.from_rows(stored["extensions"]),
            VoteCounts.from_rows(stored["votes"]),
            LengthCounts.from_rows(stored["lengths"]),
        )


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


class Point(NamedTuple):
    """One fixed setting on a curve: x is Waits, votes or thinking tokens; 95 % interval."""

    arm: ArmName
    x: int
    accuracy: float
    low: float
    high: float
    tokens: float


@dataclass(frozen=True, slots=True)
class ClassCurve:
    """A snapshot: policies decide by it, reports draw it."""

    queries: float
    labelled: float
    shadow_chains: float
    shadow_votes: float
    price: float
    extension: ExtensionCurve | None
    votes: VoteCurve | None
    length: LengthCurve | None
    menus: tuple[Menu, ...]

    @property
    def arms(self) -> tuple[Arm, ...]:
        return self.menu(self.price).arms

    def menu(self, price: float) -> Menu:
        """The menu whose price is nearest by ratio."""
        return min(self.menus, key=lambda menu: max(menu.price / price, price / menu.price))

    def points(self) -> list[Point]:
        points = []
        if self.extension:
            for waits, accuracy in enumerate(self.extension.accuracy):
                span = self.extension.interval(waits)
                points.append(Point("waits", waits, accuracy, *span, self.extension.tokens[waits]))
        if self.votes:
            for votes, accuracy in enumerate(self.votes.accuracy, start=1):
                span = self.votes.interval(votes)
                points.append(Point("votes", votes, accuracy, *span, self.votes.tokens[votes - 1]))
        if self.length:
            for row, forecast in enumerate(self.length.forecasts):
                span = self.length.interval(row)
                points.append(Point("cap", CAPS[row], forecast.accuracy, *span, forecast.tokens))
        return points

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the counts, the points, and both tables at the curve's own price."""
        menu = self.menu(self.price)
        goes_on = menu.extension_rule.goes_on if menu.extension_rule else ()
        needed = menu.vote_rule.needed if menu.vote_rule else {}
        return {
            "queries": self.queries,
            "labelled": self.labelled,
            "price": self.price,
            "arms": [
                {
                    "name": arm.name,
                    "accuracy": arm.forecast.accuracy,
                    "tokens": arm.forecast.tokens,
                    "worth": arm.worth(self.price),
                    "max_thinking_tokens": arm.max_thinking_tokens,
                }
                for arm in menu.arms
            ],
            "points": [point._asdict() for point in self.points()],
            "extend_in": sorted([*state] for state in goes_on),
            "repairs": list(self.extension.repairs) if self.extension else [],
            "corruptions": list(self.extension.corruptions) if self.extension else [],
            "vote_on_at": [[*standing] for standing, more in needed.items() if more],
        }


def fit(
    statistics: ClassStatistics, *, parent: ClassStatistics | None = None, price: float
) -> ClassCurve:
    """Snapshot of a class; `price` is the accuracy that one token must buy."""
    if not 0 < price < 1:
        raise ValueError(f"price must be in (0, 1), got {price!r}")
    usual = ClassStatistics() if parent is None else parent
    extension = fit_extensions(statistics.extensions, usual.extensions)
    votes = fit_votes(statistics.votes, usual.votes)
    length = None
    if extension is not None:
        length = fit_lengths(statistics.lengths, usual.lengths, accuracy_at_end=extension.right[0])
    return ClassCurve(
        statistics.queries,
        statistics.labelled,
        statistics.shadow_chains,
        statistics.shadow_votes,
        price,
        extension,
        votes,
        length,
        tuple(_menu(extension, votes, length, price * step) for step in _PRICE_LADDER),
    )


def _menu(
    extension: ExtensionCurve | None,
    votes: VoteCurve | None,
    length: LengthCurve | None,
    price: float,
) -> Menu:
    arms = []
    extension_rule = extension.rule(price) if extension else None
    if extension and extension_rule:
        arms.append(Arm("waits", extension_rule.forecast, max(extension.errors)))
    vote_rule = votes.rule(price) if votes else None
    if votes and vote_rule:
        low, high = votes.interval(1)
        arms.append(Arm("votes", vote_rule.forecast, (high - low) / 4))
    if length and len(length.forecasts) > 1:
        caps = [
            Arm("cap", forecast, 0.0, CAPS[row])
            for row, forecast in enumerate(length.forecasts[:-1])
        ]
        arms.append(max(caps, key=lambda arm: arm.worth(price)))
    arms.sort(key=lambda arm: arm.worth(price), reverse=True)
    return Menu(price, tuple(arms), extension_rule, vote_rule)
