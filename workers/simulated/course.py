"""What one simulated chain will do if nobody intervenes, and where it reports."""

from collections.abc import Mapping
from typing import NamedTuple

from policies.plan import Budget
from policies.signals import Confidence, Probing
from workers.engine import SampleRequest
from workers.forcing.chain import StopCause
from workers.simulated.law import ANSWER_TOKENS, PARAGRAPH_TOKENS, Fate, Law, fate
from workers.simulated.thoughts import mind_of

STREAM_STEPS = 4
PROGRESS_TOKENS = 8


class SimulatedCourse(NamedTuple):
    """From its `begin` to its `end` in tokens."""

    fate: Fate
    begin: int
    end: int
    cause: StopCause
    confidence: Confidence | None

    def trials(self, probing: Probing) -> list[int]:
        """After how many tokens to branch off trial answers."""
        points = set(probing.at)
        for step in (probing.every, PARAGRAPH_TOKENS if probing.paragraphs else None):
            points |= set(range(step, self.end, step)) if step else set()
        if probing.extensions:
            points |= {run.end for run in self.fate.passes[:-1]}
        return sorted(at for at in points if self.begin < at < self.end)[: probing.most]

    def extensions_by(self, tokens: int) -> int:
        return sum(run.end < tokens for run in self.fate.passes[:-1])


def course_of(
    request: SampleRequest,
    number: int,
    room: int,
    seed: int,
    laws: Mapping[str, Law] | None = None,
    *,
    loops: bool = False,
) -> SimulatedCourse:
    """With `loops` a greedy chain repeats itself until its cap."""
    budget, signals = request.budget, request.signals
    greedy = request.sampling.temperature == 0
    # An adapter draws other chains, by the same law.
    drawn_by = f"{seed}+{request.sampling.adapter.name}" if request.sampling.adapter else f"{seed}"
    of = request.query if request.sampling.seed is None else request.sampling.seed
    drawn = fate(
        request.messages[-1][1],
        "greedy" if greedy else f"{drawn_by}-{of}-{number}",
        extensions=budget.extensions,
        min_tokens=budget.min_thinking_tokens,
        greedy=greedy,
        laws=laws,
    )
    parent = request.parent(number)
    begin = parent.thinking_tokens if parent else 0
    if parent and parent.chain != number:
        drawn = drawn.branched(begin, mind_of(parent.thinking))
    cause: StopCause = "extensions" if budget.extensions else "natural"
    end, cap = drawn.end, min(budget.max_thinking_tokens, room)
    if end > cap or (loops and greedy):
        end, cause = cap, "max_thinking" if cap == budget.max_thinking_tokens else "context"
    if cause == "max_thinking" and not budget.answer_when_cut:
        cause = "rejected"
    sure = drawn.confidence_at(end) if signals else None
    if sure and signals and _falls_below(sure, signals.end_below) and drawn.lowest_at() < end:
        end, cause = drawn.lowest_at(), "unsure"
    if budget.step_tokens is not None and begin + _step(budget) < end:
        end, cause = begin + _step(budget), "paused"
    return SimulatedCourse(drawn, begin, max(begin, end), cause, sure)


def _step(budget: Budget) -> int:
    """Tokens of a step; one that ends with a text is a paragraph at most."""
    assert budget.step_tokens is not None
    most = PARAGRAPH_TOKENS if budget.step_text else budget.step_tokens
    return min(budget.step_tokens, most)


def _falls_below(confidence: Confidence, threshold: float | None) -> bool:
    if threshold is None or confidence.lowest is None:
        return False
    return confidence.lowest < threshold


class Mark(NamedTuple):
    """Where something is reported: a trial answer of a length, or text that is to be shown."""

    at: int
    trial: int = 0
    shown: bool = False


def marks_of(request: SampleRequest, number: int, course: SimulatedCourse) -> list[Mark]:
    marks = [Mark(course.end)]
    if request.stream == number:
        quarter = (course.end - course.begin) / STREAM_STEPS
        steps = range(1, STREAM_STEPS + 1)
        marks = [Mark(round(course.begin + quarter * step), shown=True) for step in steps]
    if request.probing:
        trial = min(ANSWER_TOKENS, request.probing.answer_tokens)
        marks += [Mark(at, trial) for at in course.trials(request.probing)]
    if request.progress:
        marks += [Mark(at) for at in range(course.begin, course.end, PROGRESS_TOKENS)]
    return sorted(marks)
