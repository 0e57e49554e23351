"""A signal is used where it tells how votes come out, and nowhere else."""

from random import Random

import pytest

from policies.curves.plans.counts import Course, PlanCounts
from policies.curves.plans.curve import fit_plans
from policies.curves.plans.settings import ChainSetting
from policies.curves.plans.vote_signals import (
    LEAST_GAIN,
    SIGNALS,
    UNKNOWN,
    SignalName,
    best_signal,
    bin_of,
    told,
)
from policies.signals import Confidence
from policies.tally import Vote


def is_right(answer: str | None) -> bool:
    return answer == "0"


def observed(queries: int, *, tells: SignalName | None, seed: int = 0) -> PlanCounts:
    """Half of the questions are easy; one signal says which, the others say nothing of it."""
    rng, counts = Random(seed), PlanCounts()
    for _ in range(queries):
        easy = rng.random() < 0.5
        hints = {signal: easy if signal == tells else rng.random() < 0.5 for signal in SIGNALS}
        sure = Confidence(
            answer=0.99 if hints["answer"] else 0.5, tail=8.0 if hints["tail"] else 1.0
        )
        thought = 100 if hints["length"] else 400
        votes = [
            Vote(
                number,
                "0" if rng.random() < (0.95 if easy else 0.4) else rng.choice("123456789"),
                thought + 20,
                thought,
                confidence=sure,
            )
            for number in range(3)
        ]
        courses = [Course([vote], (), ChainSetting()) for vote in votes]
        difficulty = 0.1 if hints["difficulty"] else 0.9
        counts.observe(courses, is_right, is_exploration=True, difficulty=difficulty)
    return counts


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_signal_that_tells_is_found_and_votes_differ_by_it(signal: SignalName) -> None:
    counts = observed(150, tells=signal)
    assert best_signal(counts.votes) == signal
    curve = fit_plans(counts, prices=[3e-4])
    assert curve is not None and curve.signal == signal
    rounds = {}
    for easy in (True, False):
        sure = Confidence(answer=0.99 if easy else 0.5, tail=8.0 if easy else 1.0)
        first = Vote(0, "7", 0, 100 if easy else 400, confidence=sure)
        plan = curve.tables[0].plans[0]
        place = bin_of(signal, first, 0.1 if easy else 0.9)
        rounds[easy] = plan.votes.columns.get(place)
    assert None not in rounds.values() and rounds[True] != rounds[False]


def test_where_no_signal_tells_none_is_used() -> None:
    counts = observed(150, tells=None)
    assert all(told(votes) <= LEAST_GAIN for votes in counts.votes.values())
    assert best_signal(counts.votes) is None
    curve = fit_plans(counts, prices=[1e-4])
    assert curve is not None and curve.signal is None
    assert curve.tables[0].plans[0].votes.columns == {}


def test_engines_without_confidence_and_callers_without_a_number_cost_nothing() -> None:
    first = Vote(0, "0", 120, 100)
    assert bin_of("answer", first, None) == bin_of("tail", first, None) == UNKNOWN
    assert bin_of("difficulty", first, None) == UNKNOWN
    counts = PlanCounts()
    counts.observe([Course([first], (), ChainSetting())], is_right, is_exploration=False)
    assert [*counts.votes] == ["length"]


def test_a_signal_that_comes_later_has_the_earlier_queries_as_unknown() -> None:
    counts, sure = PlanCounts(), Confidence(answer=0.9)
    for vote in (Vote(0, "0", 120, 100), Vote(0, "0", 120, 100, confidence=sure)):
        counts.observe([Course([vote], (), ChainSetting())], is_right, is_exploration=False)
    assert counts.votes["answer"].queries == counts.votes["length"].queries == 2
    other = PlanCounts()
    other.merge(counts)
    other.merge(observed(3, tells=None))
    assert {votes.queries for votes in other.votes.values()} == {5.0}
    assert PlanCounts.from_dict(other.as_dict()) == other
