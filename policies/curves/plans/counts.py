"""What is counted of the chains of a class: one set of statistics for every plan.

The same chains tell what each smaller plan had given (prefix coupling): trial answers on the way,
what every earlier exit and cap would have said; ends after extensions, every smaller number of
them; several chains, what fewer votes would have decided.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple, Self

from policies.curves.exit_statistics import ExitStatistics, ProbeTrajectory
from policies.curves.extension_counts import ExtensionCounts
from policies.curves.plans.settings import ChainSetting
from policies.curves.plans.vote_signals import SIGNALS, UNKNOWN, SignalName, bins_of
from policies.curves.tail_confidence import TailCounts
from policies.curves.vote_counts import Cell, VoteCounts
from policies.curves.vote_types import MAX_VOTES
from policies.signals import Probe
from policies.tally import Vote, VoteStanding

ALONE = VoteStanding(1, 0, 0)
IsRight = Callable[[str | None], bool | None]


class Course(NamedTuple):
    """One chain, as far as it went."""

    #: Its ends, in order. The first may be one after extensions, where nobody asked before.
    ends: Sequence[Vote]
    #: Its trial answers, in order.
    probes: Sequence[Probe]
    setting: ChainSetting

    @property
    def is_cut(self) -> bool:
        """Whether something else than the model ended its first thinking."""
        return not self.ends[0].ended_by_itself

    @property
    def trial_tokens(self) -> int:
        return sum(probe.tokens for probe in self.probes)

    @property
    def answer_tokens(self) -> float:
        """Of its first answer."""
        end = self.ends[0]
        return max(0, end.tokens - end.thinking_tokens - self.trial_tokens)

    def trajectory(self, truth: IsRight) -> ProbeTrajectory:
        """Its first thinking; answers that `truth` knows are labelled."""
        end = self.ends[0]
        given = {end.answer, *(probe.answer for probe in self.probes)} - {None}
        known = {answer: truth(answer) for answer in given}
        return ProbeTrajectory(
            self.probes,
            end.thinking_tokens,
            end.answer,
            concluded=self.is_cut,
            is_whole=self.setting.kind != "exit" and not self.is_cut,
            trial_tokens=self.trial_tokens / max(1, len(self.probes)),
            right={a: right for a, right in known.items() if right is not None},  # type: ignore[misc]
        )


def courses_of(
    history: Sequence[Vote], probes: Sequence[Probe], setting: ChainSetting
) -> list[Course]:
    """The chains of one query that were run with a setting, in the order in which they began."""
    ends: dict[int, list[Vote]] = {}
    for vote in history:
        ends.setdefault(vote.chain, []).append(vote)
    tried: dict[int, list[Probe]] = {}
    for probe in probes:
        tried.setdefault(probe.chain, []).append(probe)
    return [Course(votes, tried.get(chain, ()), setting) for chain, votes in sorted(ends.items())]


def _answers() -> list[float]:
    return [0.0, 0.0]


@dataclass(slots=True)
class PlanCounts:
    """Of one class."""

    #: Queries observed.
    queries: float = 0.0
    #: Queries that were explored: more chains, or longer ones, than would have paid.
    explored: float = 0.0
    #: First answers of first chains, and their tokens together.
    answers: list[float] = field(default_factory=_answers)
    #: Chains with trial answers: caps and exits.
    exits: ExitStatistics = field(default_factory=ExitStatistics)
    #: First chains that were extended.
    ends: ExtensionCounts = field(default_factory=ExtensionCounts)
    #: Tail confidences of first chains, at every end.
    tails: TailCounts = field(default_factory=TailCounts)
    #: First answers of greedy chains, which stand alone. They tell nothing of sampled ones.
    greedy: VoteCounts = field(default_factory=VoteCounts)
    #: First answers of sampled chains, each by itself.
    sampled: VoteCounts = field(default_factory=VoteCounts)
    #: Queries by where the votes of their chains stood, and by the bins of each signal.
    votes: dict[SignalName, VoteCounts] = field(default_factory=lambda: {"length": VoteCounts()})

    def observe(
        self,
        courses: Sequence[Course],
        truth: IsRight,
        *,
        is_exploration: bool,
        difficulty: float | None = None,
        is_greedy: bool = False,
    ) -> None:
        """One query; `truth` says whether an answer is right, None: not known.

        `difficulty` is what its caller said, in [0, 1]; `is_greedy` is of its first chain.
        """
        self.queries += 1.0
        self.explored += is_exploration
        if not courses:
            return
        first = courses[0]
        self.answers[0] += 1.0
        self.answers[1] += first.answer_tokens
        if first.setting.tried:
            for course in courses:
                self.exits.add(course.trajectory(truth))
        if len(first.ends) > 1 or first.ends[0].confidence:
            self._observe_ends(first, truth)
        # Of chains that are explored the first alone is extended: their first ends vote.
        at = 0 if is_exploration else -1
        ends = [course.ends[at] for course in courses[:MAX_VOTES]]
        leader, standing = _standing(end.answer for end in ends)
        tokens = sum(map(attrgetter("tokens"), ends))
        self._observe_once(courses[:1] if is_greedy else courses, truth, is_greedy)
        if is_greedy:
            return
        bins = bins_of(first.ends[0], difficulty)
        for signal in SIGNALS:
            if signal in bins and signal not in self.votes:  # nobody has ever brought this one
                self.votes[signal] = _unknown(self.votes["length"])
        right = truth(leader)
        for signal, votes in self.votes.items():
            votes.observe(standing, tokens, right, place=bins.get(signal, UNKNOWN))

    def _observe_once(self, courses: Sequence[Course], truth: IsRight, is_greedy: bool) -> None:
        """Each chain by itself; in one sum, since every query passes here."""
        right, tokens = [], 0
        for end in (course.ends[0] for course in courses):
            if end.ended_by_itself and not end.extensions:
                right.append(truth(end.answer))
                tokens += end.tokens
        if right:
            cell = Cell(right.count(None), right.count(True), right.count(False), tokens)
            (self.greedy if is_greedy else self.sampled).add((UNKNOWN, ALONE), cell)

    def _observe_ends(self, course: Course, truth: IsRight) -> None:
        """From the first on, as long as the model made them and they have answers."""
        shown: list[Vote] = []
        for number, end in enumerate(course.ends):
            if end.extensions != number or end.answer is None or not end.ended_by_itself:
                break
            shown.append(end)
        if not shown:
            return
        right = [truth(end.answer) for end in shown]
        self.tails.observe(shown, right)
        if len(course.ends) > 1:
            self.ends.observe(shown, right)

    def votes_by(self, signal: SignalName) -> VoteCounts:
        """Of sampled chains; of greedy ones as long as there are no others."""
        votes = self.votes.get(signal, self.votes["length"])
        return votes if votes.cells else self.greedy

    def relabel(self, labelled: Self, blank: Self, weight: float) -> None:
        """Add what a late label shows: of its query observed with it, and observed without."""
        self.exits.counts.relabel(labelled.exits.counts, blank.exits.counts, weight)
        self.ends.relabel(labelled.ends, blank.ends, weight)
        self.tails.relabel(labelled.tails, blank.tails, weight)
        self.greedy.relabel(labelled.greedy, weight)
        self.sampled.relabel(labelled.sampled, weight)
        for signal, votes in self.votes.items():
            votes.relabel(labelled.votes.get(signal) or _unknown(labelled.votes["length"]), weight)

    def merge(self, other: Self) -> None:
        self.queries += other.queries
        self.explored += other.explored
        self.answers = [
            mine + theirs for mine, theirs in zip(self.answers, other.answers, strict=True)
        ]
        self.exits.merge(other.exits)
        self.ends.merge(other.ends)
        self.tails.merge(other.tails)
        self.greedy.merge(other.greedy)
        self.sampled.merge(other.sampled)
        for signal in SIGNALS:  # the length last: the others are filled up from it
            if signal not in self.votes and signal not in other.votes:
                continue
            own = self.votes.get(signal) or _unknown(self.votes["length"])
            own.merge(other.votes.get(signal) or _unknown(other.votes["length"]))
            self.votes[signal] = own

    def scale(self, factor: float) -> None:
        self.queries *= factor
        self.explored *= factor
        self.answers = [factor * each for each in self.answers]
        self.exits.scale(factor)
        self.ends.scale(factor)
        self.tails.scale(factor)
        self.greedy.scale(factor)
        self.sampled.scale(factor)
        for votes in self.votes.values():
            votes.scale(factor)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "queries": self.queries,
            "explored": self.explored,
            "answers": self.answers,
            "exits": self.exits.as_dict(),
            "ends": asdict(self.ends),
            "tails": asdict(self.tails),
            "greedy": self.greedy.as_rows(),
            "sampled": self.sampled.as_rows(),
            "votes": {signal: votes.as_rows() for signal, votes in self.votes.items()},
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        count, tokens = map(float, stored["answers"])
        return cls(
            float(stored["queries"]),
            float(stored["explored"]),
            [count, tokens],
            ExitStatistics.from_dict(stored["exits"]),
            ExtensionCounts.from_rows(stored["ends"]),
            # Version 7 has none.
            TailCounts.from_rows(stored["tails"]) if "tails" in stored else TailCounts(),
            VoteCounts.from_rows(stored["greedy"]),
            VoteCounts.from_rows(stored["sampled"]),
            {
                signal: VoteCounts.from_rows(rows)
                for signal, rows in stored["votes"].items()
                if signal in SIGNALS
            },
        )


def _unknown(votes: VoteCounts) -> VoteCounts:
    """The same queries, without a signal."""
    counts = VoteCounts()
    for (_, standing), cell in votes.cells.items():
        counts.add((UNKNOWN, standing), cell)
    return counts


def _standing(answers: Iterable[str | None]) -> tuple[str | None, VoteStanding]:
    """Who leads, and by how much. A chain without an answer stands alone, and never leads."""
    counts: dict[str, int] = {}
    silent = 0
    for answer in answers:
        if answer is None:
            silent += 1
        else:
            counts[answer] = counts.get(answer, 0) + 1
    if not counts:
        return None, VoteStanding(1, min(1, silent - 1), max(0, silent - 2))
    leader = max(counts, key=counts.__getitem__)
    first, *others = sorted(counts.values(), reverse=True) + [1] * silent
    others.sort(reverse=True)
    return leader, VoteStanding(first, others[0] if others else 0, sum(others[1:]))
