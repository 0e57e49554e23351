"""Everything that is counted of one class of queries: a few hundred sums.

Observing adds, merging two adds them, forgetting scales them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from policies.curves.accuracy_estimate import PLANS, ServedCounts
from policies.curves.exit_statistics import ExitStatistics
from policies.curves.extension_counts import ExtensionCounts
from policies.curves.length_curve import LengthCounts
from policies.curves.observation import Observation
from policies.curves.plans.counts import Course, PlanCounts, courses_of
from policies.curves.vote_counts import VoteCounts
from policies.tally import Tally

VERSION = 8
_SUMS = ("queries", "labelled", "referenced")


@dataclass(slots=True)
class ClassStatistics:
    """Everything that is kept of one class. Counts are floats, since old queries decay."""

    #: Queries observed.
    queries: float = 0.0
    #: Of them with a label, from a reference answer or sent later.
    labelled: float = 0.0
    #: Queries that brought their reference answer.
    referenced: float = 0.0
    #: Chains, votes, extensions and trial answers.
    plans: PlanCounts = field(default_factory=PlanCounts)
    #: Thinking tokens of first chains, ended and cut.
    lengths: LengthCounts = field(default_factory=LengthCounts)
    #: Answers served, by what their plan does with a chain (`PLANS`).
    served: dict[str, ServedCounts] = field(default_factory=dict)

    def observe(self, observation: Observation) -> None:
        """Count one query. Raises ValueError for an observation that cannot be."""
        observation.check()
        self._observe_served(observation)
        self.queries += 1.0
        self.labelled += bool(observation.right)
        self.referenced += bool(observation.right)
        courses = courses_of(observation.history, observation.probes, observation.setting)
        if courses:
            self._observe_length(courses[0], observation)
        if observation.shows_plans:
            self.plans.observe(
                courses,
                observation.truth,
                is_exploration=observation.plan is not None and observation.plan.is_exploration,
                difficulty=observation.difficulty,
                is_greedy=observation.temperature == 0,
            )

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

    def _observe_length(self, course: Course, observation: Observation) -> None:
        """Of the first chain: where it ended, and what it would have said at earlier caps."""
        for probe in course.probes:
            self.lengths.observe_trial(probe.thinking_tokens, observation.truth(probe.answer))
        first = course.ends[0]
        if first.extensions or first.answer is None or first.stop_cause == "early_exit":
            return
        self.lengths.observe(
            first.thinking_tokens,
            answer_tokens=course.answer_tokens,
            is_cut=observation.is_cut(first),
            right=observation.truth(first.answer),
        )

    def merge(self, other: Self) -> None:
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.plans.merge(other.plans)
        self.lengths.merge(other.lengths)
        for plan, counts in other.served.items():
            self.served.setdefault(plan, ServedCounts()).merge(counts)

    def scale(self, factor: float) -> None:
        """Forget: what was seen counts `factor` times as much."""
        if not 0 <= factor <= 1:
            raise ValueError(f"factor must be in [0, 1], got {factor!r}")
        for name in _SUMS:
            setattr(self, name, getattr(self, name) * factor)
        self.plans.scale(factor)
        self.lengths.scale(factor)
        for counts in self.served.values():
            counts.scale(factor)

    def as_dict(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            **{name: getattr(self, name) for name in _SUMS},
            "plans": self.plans.as_dict(),
            "lengths": asdict(self.lengths),
            "served": {plan: asdict(counts) for plan, counts in self.served.items()},
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Those of version 7, too. Raises ValueError for any other version."""
        if stored.get("version") == 7:
            stored = _from_version_7(stored)
        if stored.get("version") != VERSION:
            raise ValueError(f"version must be {VERSION}, got {stored.get('version')!r}")
        return cls(
            **{name: float(stored[name]) for name in _SUMS},
            plans=PlanCounts.from_dict(stored["plans"]),
            lengths=LengthCounts.from_rows(stored["lengths"]),
            served={
                plan: ServedCounts.from_rows(rows)
                for plan, rows in stored["served"].items()
                if plan in PLANS
            },
        )


def _from_version_7(stored: Mapping[str, Any]) -> dict[str, Any]:
    """It counted the chains of every kind of plan by themselves; all are chains."""
    plans = PlanCounts()
    if stored["joint"] is not None:
        none: dict[str, Any] = {"greedy": [], "sampled": []}
        plans = PlanCounts.from_dict(stored["joint"] | none)
    plans.merge(
        PlanCounts(
            exits=ExitStatistics.from_dict(stored["exits"])
            if stored["exits"]
            else ExitStatistics(),
            ends=ExtensionCounts.from_rows(stored["extensions"]),
            votes={"length": VoteCounts.from_rows(stored["votes"])},
        )
    )
    return {**stored, "version": VERSION, "plans": plans.as_dict()}
