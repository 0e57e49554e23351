"""Everything that is counted of one class of queries: a few hundred sums.

Observing adds, merging two adds them, forgetting scales them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from typing import Any, Self

from policies.curves.accuracy_estimate import PLANS, ServedCounts
from policies.curves.exit_statistics import ExitStatistics
from policies.curves.extension_counts import ExtensionCounts
from policies.curves.joint.counts import JointCounts, courses_of
from policies.curves.length_curve import LengthCounts
from policies.curves.observation import Observation
from policies.curves.vote_counts import VoteCounts
from policies.curves.vote_types import MAX_VOTES
from policies.tally import Tally, Vote, VoteStanding

VERSION = 7
_SUMS = ("queries", "labelled", "exploration_chains", "exploration_votes", "referenced")


@dataclass(slots=True)
class ClassStatistics:
    """Everything that is kept of one class. Counts are floats, since old queries decay."""

    #: Queries observed.
    queries: float = 0.0
    #: Of them with a label, from a reference answer or sent later.
    labelled: float = 0.0
    #: Exploration runs of single chains.
    exploration_chains: float = 0.0
    #: Exploration runs of votes.
    exploration_votes: float = 0.0
    #: Queries that brought their reference answer.
    referenced: float = 0.0
    #: Single chains, extended step by step.
    extensions: ExtensionCounts = field(default_factory=ExtensionCounts)
    #: Chains that vote, by their last standing.
    votes: VoteCounts = field(default_factory=VoteCounts)
    #: Thinking tokens of single chains, ended and cut.
    lengths: LengthCounts = field(default_factory=LengthCounts)
    #: Chains with trial answers; None where no chain was probed.
    exits: ExitStatistics | None = None
    #: Chains of joint plans; None where there was none.
    joint: JointCounts | None = None
    #: Answers served, by kind of plan: "extensions", "votes", "cap", "exit", "joint".
    served: dict[str, ServedCounts] = field(default_factory=dict)

    def observe(self, observation: Observation) -> None:
        """Single chains show extensions and caps, others votes, probed ones exits.

        Raises ValueError for an observation that cannot be.
        """
        observation.check()
        if observation.trajectory is not None:
            exits = self.exits or ExitStatistics()
            exits.add(observation.trajectory._replace(right=observation.right))
            self.exits = exits
        self._observe_served(observation)
        self.queries += 1.0
        self.labelled += bool(observation.right)
        self.referenced += bool(observation.right)
        is_exploration = observation.plan is not None and observation.plan.is_exploration
        if observation.plan is not None and observation.plan.setting is not None:
            setting = observation.plan.setting
            courses = courses_of(observation.history, observation.probes, setting)
            self.joint = self.joint or JointCounts()
            self.joint.observe(
                courses,
                observation.truth,
                is_exploration=is_exploration,
                difficulty=observation.difficulty,
            )
            return
        if observation.trajectory is not None:
            return
        if observation.is_single_chain:
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

    def together(self) -> "ClassStatistics":
        """The same, where chains of joint plans count among all extended, voting and tried ones."""
        if self.joint is None:
            return self
        every = replace(self, extensions=ExtensionCounts(), votes=VoteCounts(), exits=None)
        for extensions in (self.extensions, self.joint.ends):
            every.extensions.merge(extensions)
        for votes in (self.votes, self.joint.votes["length"]):
            every.votes.merge(votes)
        every.exits = ExitStatistics()
        for exits in (self.exits, self.joint.exits):
            if exits is not None:
                every.exits.merge(exits)
        return every

    def merge(self, other: Self) -> None:
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.extensions.merge(other.extensions)
        self.votes.merge(other.votes)
        self.lengths.merge(other.lengths)
        if other.exits is not None:
            self.exits = self.exits or ExitStatistics()
            self.exits.merge(other.exits)
        if other.joint is not None:
            self.joint = self.joint or JointCounts()
            self.joint.merge(other.joint)
        for plan, counts in other.served.items():
            self.served.setdefault(plan, ServedCounts()).merge(counts)

    def scale(self, factor: float) -> None:
        """Forget: what was seen counts `factor` times as much."""
        if not 0 <= factor <= 1:
            raise ValueError(f"factor must be in [0, 1], got {factor!r}")
        for name in _SUMS:
            setattr(self, name, getattr(self, name) * factor)
        parts = (self.extensions, self.votes, self.lengths, self.exits, self.joint)
        for counts in (*parts, *self.served.values()):
            if counts is not None:
                counts.scale(factor)

    def as_dict(self) -> dict[str, Any]:
        lists = {"extensions": asdict(self.extensions), "lengths": asdict(self.lengths)}
        sums = {name: getattr(self, name) for name in _SUMS}
        exits = self.exits.as_dict() if self.exits else None
        votes = self.votes.as_rows()
        served = {plan: asdict(counts) for plan, counts in self.served.items()}
        joint = self.joint.as_dict() if self.joint else None
        learned = {"votes": votes, "exits": exits, "joint": joint, "served": served}
        return {"version": VERSION, **sums, **lists, **learned}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        if stored.get("version") != VERSION:
            raise ValueError(f"version must be {VERSION}, got {stored.get('version')!r}")
        exits, joint = stored["exits"], stored.get("joint")
        return cls(
            **{name: float(stored[name]) for name in _SUMS},
            extensions=ExtensionCounts.from_rows(stored["extensions"]),
            votes=VoteCounts.from_rows(stored["votes"]),
            lengths=LengthCounts.from_rows(stored["lengths"]),
            exits=None if exits is None else ExitStatistics.from_dict(exits),
            joint=None if joint is None else JointCounts.from_dict(joint),
            served={
                plan: ServedCounts.from_rows(rows)
                for plan, rows in stored["served"].items()
                if plan in PLANS
            },
        )
