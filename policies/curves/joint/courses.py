"""What one chain shows of every setting: where each would have ended it, and with which answer.

Prefixes of a chain are what a shorter chain would have been (prefix coupling): one chain with trial
answers tells what every smaller cap, every earlier exit and every fewer extensions had given.
"""

import bisect
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from policies.curves.exit_statistics import ProbeTrajectory
from policies.curves.joint.settings import (
    CAPS,
    EXITS,
    NO_EXIT,
    SETTINGS,
    STAGES,
    WHOLE,
    ChainSetting,
    Exit,
)
from policies.signals import Probe
from policies.tally import Vote


class ChainOutcome(NamedTuple):
    """`tokens` are all of the chain under a setting, its answers and its trials included."""

    answer: str | None
    tokens: float


class _Point(NamedTuple):
    """An answer on the way, and how sure the model was of it (0: not known)."""

    answer: str | None
    probability: float
    thinking_tokens: int


class Course(NamedTuple):
    """One chain, as far as it went."""

    #: Its ends, in order. The first may be one after extensions, where nobody asked before.
    ends: Sequence[Vote]
    #: Its trial answers, in order.
    probes: Sequence[Probe]
    #: The setting that it was run with.
    setting: ChainSetting

    @property
    def is_cut(self) -> bool:
        """Whether its setting ended its first thinking, rather than the model."""
        cap, end = self.setting.cap, self.ends[0]
        return end.stop_cause == "early_exit" or (cap is not None and end.thinking_tokens >= cap)

    def outcomes(self) -> dict[ChainSetting, ChainOutcome]:
        """Under every setting that any chain run like this shows, however it goes.

        That a chain has ended early tells what it had given under larger caps, too. But of those
        that have not ended nothing would be known there: only the short ones would count.
        """
        end, rule = self.ends[0], self.setting.rule
        if rule is None:
            return {self.setting: ChainOutcome(end.answer, end.tokens)}
        points = self._points()
        if end.extensions:
            last = ChainSetting(WHOLE + end.extensions)
            return {last: ChainOutcome(end.answer, end.tokens)} if last in _KNOWN else {}
        is_tried = bool(self.probes) or end.thinking_tokens <= CAPS[0]
        rows = [
            row
            for row, other in enumerate(EXITS)
            if (is_tried or not other.agree) and rule.shows(other)
        ]
        return {
            ChainSetting(stage, row): outcome
            for row in rows
            for stage, outcome in self._walk(points, EXITS[row])
            if stage <= self.setting.stage
        }

    @property
    def trajectory(self) -> ProbeTrajectory:
        """Its first thinking, for learned exits; labels are left out."""
        end = self.ends[0]
        trials = sum(probe.tokens for probe in self.probes)
        return ProbeTrajectory(
            self.probes,
            end.thinking_tokens,
            end.answer,
            concluded=self.is_cut,
            is_whole=self.setting.exit == NO_EXIT and not self.is_cut,
            trial_tokens=trials / max(1, len(self.probes)),
            right={},
        )

    def _points(self) -> list[_Point | None]:
        """By stage; None where the chain did not come, or was not asked."""
        points: list[_Point | None] = [None] * STAGES
        for stage, probe in by_stage(self.probes):
            points[stage] = _Point(probe.answer, probe.probability, probe.thinking_tokens)
        if self.probes:
            self._fill(points)
        if not self.is_cut:
            for end in self.ends:
                if end.extensions < STAGES - WHOLE:
                    points[WHOLE + end.extensions] = _Point(end.answer, 0.0, end.thinking_tokens)
        elif (stage := stage_of(self.ends[0].thinking_tokens)) >= 0:
            tried, end = points[stage], self.ends[0]
            sure = tried.probability if tried else 0.0
            points[stage] = _Point(end.answer, sure, end.thinking_tokens)
        return points

    def _fill(self, points: list[_Point | None]) -> None:
        """A cap at which nobody asked is answered as at the last trial before it, if any."""
        last: _Point | None = None
        for stage, cap in enumerate(CAPS):
            if cap >= self.ends[0].thinking_tokens:
                return
            last = points[stage] = points[stage] or last or _Point(None, 0.0, cap)

    def _walk(
        self, points: Sequence[_Point | None], rule: Exit
    ) -> Iterator[tuple[int, ChainOutcome]]:
        """Stage by stage, as far as the chain went."""
        thought, own = self.ends[0].thinking_tokens, points[WHOLE]
        trials = sum(probe.tokens for probe in self.probes)
        answer_tokens = max(1, self.ends[0].tokens - thought - trials)
        trial_tokens = trials / max(1, len(self.probes))
        run, tried = 0, 0
        before: str | None = None
        asked: _Point | None = None
        ended: ChainOutcome | None = None
        for stage in range(STAGES if own else stage_of(thought) + 1):
            if ended is not None:
                yield stage, ended
                continue
            if own and stage < WHOLE and CAPS[stage] >= thought:
                # It ends by itself before this cap.
                tokens = thought + answer_tokens + tried * trial_tokens
                yield stage, ChainOutcome(own.answer, tokens)
                continue
            point = points[stage]
            if point is None and stage >= WHOLE:
                return
            if point is None:
                continue
            if stage == WHOLE:
                before = None  # what is decided at the ends looks at ends alone
            if point is not asked:
                run = run + 1 if point.answer is not None and point.answer == before else 1
                tried += bool(rule.agree) and stage < WHOLE
            before, asked = point.answer, point
            answers = 1 + (max(0, stage - WHOLE) if rule.agree else 0)
            tokens = point.thinking_tokens + answers * answer_tokens + tried * trial_tokens
            outcome = ChainOutcome(point.answer, tokens)
            if point.answer is not None and rule.holds(run, point.probability):
                ended = outcome
            yield stage, outcome


_KNOWN = frozenset(SETTINGS)


def courses_of(
    history: Sequence[Vote],
    probes: Sequence[Probe],
    setting: ChainSetting,
    *,
    is_exploration: bool,
) -> list[Course]:
    """The chains of one query that were run with a setting, in the order in which they were drawn.

    Of several that are explored the first alone is extended.
    """
    ends: dict[int, list[Vote]] = {}
    for vote in history:
        ends.setdefault(vote.chain, []).append(vote)
    tried: dict[int, list[Probe]] = {}
    for probe in probes:
        tried.setdefault(probe.chain, []).append(probe)
    others = setting._replace(stage=min(setting.stage, WHOLE)) if is_exploration else setting
    return [
        Course(_whole(votes), tried.get(chain, ()), others if number else setting)
        for number, (chain, votes) in enumerate(sorted(ends.items()))
    ]


def _whole(ends: Sequence[Vote]) -> list[Vote]:
    """Without extensions that something else than the model ended."""
    return [ends[0], *(end for end in ends[1:] if end.stop_cause == "natural")]


def by_stage(probes: Sequence[Probe]) -> Iterator[tuple[int, Probe]]:
    """The trials of one chain by their stage; of several in one stage the first counts."""
    last = -1
    for probe in probes:
        stage = stage_of(probe.thinking_tokens)
        if stage > last:
            last = stage
            yield stage, probe


def holds(rule: Exit, probes: Sequence[Probe]) -> bool:
    """Whether a chain with these trials should answer now."""
    run, before, last = 0, None, None
    for _, last in by_stage(probes):
        run = run + 1 if last.answer is not None and last.answer == before else 1
        before = last.answer
    return last is not None and before is not None and rule.holds(run, last.probability)


def stage_of(thinking_tokens: int) -> int:
    """Of the largest cap that so much thinking has reached; -1: of none."""
    return bisect.bisect_right(CAPS, thinking_tokens) - 1
