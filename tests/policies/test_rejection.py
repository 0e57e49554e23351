"""Tries until one is accepted, in the order of their drawing, or none."""

from random import Random
from typing import Any

import pytest

from policies import build
from policies.base import Draw, Query, Situation, Stop
from policies.plan import Budget
from policies.rejection import RejectionSampling
from policies.tally import Tally, Vote

SIZE = "samples_per_round"
POLICY = RejectionSampling(max_thinking_tokens=100, max_tries=6, samples_per_round=3)


def situation(*tries: tuple[int, str], pending: int = 0) -> Situation:
    votes = tuple(
        Vote(chain, None if cause == "rejected" else "7", 60, 50, stop_cause=cause)
        for chain, cause in tries
    )
    return Situation(Query("q", ()), Tally(votes), 500, pending=pending)


def test_tries_are_drawn_in_rounds_and_give_no_answer_when_cut() -> None:
    budget = Budget(100, answer_when_cut=False)
    assert POLICY.decide(situation(), Random(0)) == Draw(3, budget, 1.0)
    five = situation(*((chain, "rejected") for chain in range(5)))
    assert POLICY.decide(five, Random(0)) == Draw(1, budget, 1.0)


def test_an_accepted_try_settles_the_query_alone() -> None:
    tries = situation((0, "rejected"), (2, "natural"), (1, "natural"))
    assert POLICY.decide(tries, Random(0)) == Stop("settled", ((1, 1.0),))


def test_an_earlier_try_that_still_runs_is_waited_for() -> None:
    early = situation((2, "natural"), (0, "rejected"), pending=1)
    assert isinstance(POLICY.decide(early, Random(0)), Draw)
    known = situation((2, "natural"), (0, "rejected"), (1, "rejected"), pending=1)
    assert POLICY.decide(known, Random(0)) == Stop("settled", ((2, 1.0),))


def test_an_earlier_try_that_was_lost_is_not_waited_for() -> None:
    assert POLICY.decide(situation((2, "natural")), Random(0)) == Stop("settled", ((2, 1.0),))


def test_after_the_last_try_none_is_accepted_and_nothing_is_answered() -> None:
    tries = situation(*((chain, "rejected") for chain in range(5)), (5, "context"))
    assert POLICY.decide(tries, Random(0)) == Stop("no try accepted", weights=())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_tries", 0),
        ("max_tries", 5000),
        (SIZE, 0),
        ("temperature", 0),
        ("temperature", 2.5),
    ],
)
def test_a_wrong_option_is_named_with_its_value(option: str, value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        build("rejection_sampling", **{option: value})
    assert option in str(caught.value) and str(value) in str(caught.value)
