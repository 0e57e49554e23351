"""A fixed number of votes."""

from random import Random

import pytest

from policies.base import Draw, Query, Situation, Stop
from policies.majority import Majority
from policies.tally import Tally, Vote


def situation(votes: int) -> Situation:
    tally = Tally(tuple(Vote(chain, "a", 10, 8) for chain in range(votes)))
    return Situation(Query("q", ()), tally, 500)


def test_draws_what_is_missing_and_stops() -> None:
    policy = Majority(5)
    for votes in range(5):
        draw = policy.decide(situation(votes), Random(0))
        assert isinstance(draw, Draw) and draw.samples == 5 - votes and draw.temperature is None
    assert policy.decide(situation(5), Random(0)) == Stop("plan done")


def test_a_chain_without_an_answer_is_not_replaced() -> None:
    lost = Situation(Query("q", ()), Tally((Vote(0, None, 10, 8),)), 500)
    assert Majority(1).decide(lost, Random(0)) == Stop("plan done")


@pytest.mark.parametrize("samples", [0, 1025, 2.0, True])
def test_the_number_of_votes_is_checked(samples: object) -> None:
    with pytest.raises(ValueError, match="samples"):
        Majority(samples)  # type: ignore[arg-type]
