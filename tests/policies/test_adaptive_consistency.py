"""Votes until the leader is unlikely to be overtaken."""

from math import comb
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.adaptive_consistency import AdaptiveConsistency, chance_of_lead
from policies.base import Draw, Query, Situation, Stop
from policies.tally import Tally, Vote


def situation(answers: str) -> Situation:
    tally = Tally(tuple(Vote(chain, given, 10, 8) for chain, given in enumerate(answers)))
    return Situation(Query("q", ()), tally, 500)


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_chance_of_a_lead_is_a_binomial_tail(leader: int, runner_up: int) -> None:
    votes = leader + runner_up + 1
    tail = sum(comb(votes, wins) for wins in range(leader + 1)) / 2**votes
    assert chance_of_lead(leader, runner_up) == pytest.approx(tail)


def test_four_equal_votes_settle_and_three_do_not() -> None:
    policy = AdaptiveConsistency(samples_per_round=1)
    assert isinstance(policy.decide(situation("aaa"), Random(0)), Draw)
    assert policy.decide(situation("aaaa"), Random(0)) == Stop("settled")


def test_the_last_round_is_no_larger_than_what_is_left() -> None:
    draw = AdaptiveConsistency(max_samples=6, samples_per_round=4).decide(
        situation("abab"), Random(0)
    )
    assert isinstance(draw, Draw) and draw.samples == 2
    assert AdaptiveConsistency(max_samples=4).decide(situation("abab"), Random(0)) == Stop(
        "plan done"
    )


@pytest.mark.parametrize("threshold", [0.49, 1.0, float("nan")])
def test_the_threshold_is_checked(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        AdaptiveConsistency(threshold)
