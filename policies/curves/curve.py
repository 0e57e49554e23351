"""What has been learned of one class of queries, and the plans that it recommends.

`ClassStatistics` are sums: observing adds, merging adds, forgetting scales. `fit` turns them into
a frozen `ClassCurve` in milliseconds, away from the request path. How much a class may differ from
its parent depends on what was seen of it, and on nothing else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple, Self

from policies.curves.accuracy_estimate import PLANS, AccuracyEstimate, ServedCounts
from policies.curves.exit_curve import ExitCurve, fit_exits
from policies.curves.exit_statistics import ExitStatistics
from policies.curves.extension_counts import ExtensionCounts
from policies.curves.extension_curve import ExtensionCurve, fit_extensions
from policies.curves.length_curve import CAPS, LengthCounts, LengthCurve, fit_lengths
from policies.curves.menu import Arm, ArmName, PlanTable, menu_at
from policies.curves.observation import Observation
from policies.curves.vote_counts import VoteCounts
from policies.curves.vote_curve import VoteCurve, fit_votes
from policies.curves.vote_rule import VoteRule, vote_rules
from policies.curves.vote_types import MAX_VOTES
from policies.tally import Tally, Vote, VoteStanding

VERSION = 7
_SUMS = ("queries", "labelled", "exploration_chains", "exploration_votes", "referenced")
PRICE_LADDER = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)


@dataclass(slots=True)
class ClassStatistics:
    """Everything that is kept of one class: a few hundred sums, and those of exits if any.

    `referenced` queries brought their right answer; of all `labelled` it may have been told later.
    """

    queries: float = 0.0
    labelled: float = 0.0
    exploration_chains: float = 0.0
    exploration_votes: float = 0.0
    referenced: float = 0.0
    extensions: ExtensionCounts = field(default_factory=ExtensionCounts)
    votes: VoteCounts = field(default_factory=VoteCounts)
    lengths: LengthCounts = field(default_factory=LengthCounts)
    exits: ExitStatistics | None = None
    served: dict[str, ServedCounts] = field(default_factory=dict)

    def observe(self, observation: Observation) -> None:
        """Greedy chains tell of "Wait" and of caps, sampled ones of votes, tried ones of exits."""
        observation.check()
        if observation.trajectory is not None:
            exits = self.exits or ExitStatistics()
            exits.add(observation.trajectory._replace(right=observation.right))
            self.exits = exits
        self._observe_served(observation)
        self.queries += 1.0
        self.labelled += bool(observation.right)
        self.referenced += bool(observation.right)
        if observation.trajectory is not None:
            return
        is_exploration = observation.plan is not None and observation.plan.is_exploration
        if observation.temperature == 0.0:
            self.exploration_chains += is_exploration
            self._observe_chain(observation)
        else:
            self.exploration_votes += is_exploration
            self._observe_votes(observation)

    def _observe_served(self, observation: Observation) -> None:
        """Exploration runs aside: they are as good as can be, and of checked queries more often."""
        plan = observation.plan
        if plan is None or plan.is_exploration or plan.name not in PLANS:
            return
        counts = self.served.get(plan.name)
        if counts is None:
            counts = self.served[plan.name] = ServedCounts()
        right = observation.truth(Tally(observation.history).leader) if observation.right else None
        counts.observe(observation.chance, right)

    def _observe_chain(self, observation: Observation) -> None:
        number = observation.history[0].chain if observation.history else 0
        chain = [vote for vote in observation.history if vote.chain == number]
        ends: list[Vote] = []
        for vote in chain:
            if vote.extensions != len(ends) or vote.answer is None:
                break
            ends.append(vote)
        if not ends:
            return
        first = ends[0]
        self.lengths.observe(
            first.thinking_tokens,
            answer_tokens=first.tokens - first.thinking_tokens,
            is_cut=observation.is_cut(first),
            right=observation.truth(first.answer),
        )
        whole = [vote for vote in ends if not observation.is_cut(vote)]
        if whole and whole[0] is first:
            self.extensions.observe(whole, [observation.truth(end.answer) for end in whole])

    def _observe_votes(self, observation: Observation) -> None:
        """Votes of chains that were not extended; what gave no answer costs, and does not vote."""
        counts: dict[str, int] = {}
        tokens = 0.0
        for vote in observation.history[:MAX_VOTES]:
            if vote.extensions:
                return
            tokens += vote.tokens
            if vote.answer is not None:
                counts[vote.answer] = counts.get(vote.answer, 0) + 1
        if not counts:
            return
        leader = max(counts, key=counts.__getitem__)
        first, second, *rest = (*sorted(counts.values(), reverse=True), 0)
        start = min(observation.history, key=attrgetter("chain"))
        self.votes.observe(
            VoteStanding(first, second, sum(rest)),
            tokens,
            observation.truth(leader),
            first_tokens=start.thinking_tokens,
        )

    def merge(self, other: Self) -> None:
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.extensions.merge(other.extensions)
        self.votes.merge(other.votes)
        self.lengths.merge(other.lengths)
        if other.exits is not None:
            self.exits = self.exits or ExitStatistics()
            self.exits.merge(other.exits)
        for plan, counts in other.served.items():
            self.served.setdefault(plan, ServedCounts()).merge(counts)

    def scale(self, factor: float) -> None:
        """Forget: what was seen counts `factor` times as much."""
        if not 0 <= factor <= 1:
            raise ValueError(f"factor must be in [0, 1], got {factor!r}")
        for name in _SUMS:
            setattr(self, name, getattr(self, name) * factor)
        parts = (self.extensions, self.votes, self.lengths, self.exits, *self.served.values())
        for counts in parts:
            if counts is not None:
                counts.scale(factor)

    def as_dict(self) -> dict[str, Any]:
        lists = {"extensions": asdict(self.extensions), "lengths": asdict(self.lengths)}
        sums = {name: getattr(self, name) for name in _SUMS}
        exits = self.exits.as_dict() if self.exits else None
        votes = self.votes.as_rows()
        served = {plan: asdict(counts) for plan, counts in self.served.items()}
        told = {"votes": votes, "exits": exits, "served": served}
        return {"version": VERSION, **sums, **lists, **told}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        if stored.get("version") != VERSION:
            raise ValueError(f"version must be {VERSION}, got {stored.get('version')!r}")
        exits = stored["exits"]
        return cls(
            **{name: float(stored[name]) for name in _SUMS},
            extensions=ExtensionCounts.from_rows(stored["extensions"]),
            votes=VoteCounts.from_rows(stored["votes"]),
            lengths=LengthCounts.from_rows(stored["lengths"]),
            exits=None if exits is None else ExitStatistics.from_dict(exits),
            served={
                plan: ServedCounts.from_rows(rows)
                for plan, rows in stored["served"].items()
                if plan in PLANS
            },
        )


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
    """A snapshot: policies decide by it, reports draw it."""

    queries: float
    labelled: float
    exploration_chains: float
    exploration_votes: float
    price: float
    extension: ExtensionCurve | None
    votes: VoteCurve | None
    length: LengthCurve | None
    menus: tuple[PlanTable, ...]
    exits: ExitCurve | None = None
    served: Mapping[str, AccuracyEstimate] = field(default_factory=dict)
    referenced: float = 0.0

    @property
    def referenced_share(self) -> float:
        """Of queries that bring their right answer."""
        return self.referenced / max(1.0, self.queries)

    @property
    def arms(self) -> tuple[Arm, ...]:
        return self.menu(self.price).arms

    def menu(self, price: float) -> PlanTable:
        """The menu whose price is nearest by ratio."""
        return min(self.menus, key=lambda menu: max(menu.price / price, price / menu.price))

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
        menu = self.menu(self.price)
        goes_on = menu.extension_rule.goes_on if menu.extension_rule else ()
        votes_in = menu.vote_rule.goes_on if menu.vote_rule else []
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
            "served": {plan: served._asdict() for plan, served in self.served.items()},
            "extend_in": sorted([*state] for state in goes_on),
            "repaired": list(self.extension.repaired) if self.extension else [],
            "spoilt": list(self.extension.spoilt) if self.extension else [],
            "vote_on_at": [[*standing] for standing in votes_in],
            "exit": self.exits.rule(self.price).as_dict() if self.exits else None,
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
    usual = ClassStatistics() if parent is None else parent
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
            menu_at(extension, votes, length, at, rule)
            for at, rule in zip(prices, rules, strict=True)
        ),
        exits,
        {plan: told for plan, counts in statistics.served.items() if (told := counts.served())},
        statistics.referenced,
    )
