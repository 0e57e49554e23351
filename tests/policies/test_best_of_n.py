"""Best-of-n: all chains are drawn at once, and their rewards decide."""

from random import Random

import pytest

from policies.base import Draw, Query, Situation, Stop
from policies.best_of_n import BestOfN
from policies.plan import Budget
from policies.rewards import Aggregation, Selection
from policies.tally import Tally, Vote

VOTES = (
    Vote(0, "7", 50, 40, rewards=(0.9, 0.2)),
    Vote(1, "8", 50, 40, rewards=(0.1, 0.5)),
    Vote(2, "7", 50, 40, rewards=(0.3, 0.25)),
    Vote(3, None, 50, 40, rewards=(1.0,)),
)


def situation(*votes: Vote, pending: int = 0) -> Situation:
    return Situation(Query("q", ()), Tally(votes), 500, pending=pending)


def test_all_chains_are_drawn_at_once_and_waited_for() -> None:
    policy = BestOfN(samples=4, answer_tokens=10)
    assert policy.decide(situation(), Random(0)) == Draw(4, Budget(500, answer_tokens=10))
    assert isinstance(policy.decide(situation(*VOTES[:3], pending=1), Random(0)), Draw)
    assert isinstance(policy.decide(situation(*VOTES, pending=1), Random(0)), Draw)


@pytest.mark.parametrize(
    ("choose", "aggregation", "weights", "leader"),
    [
        ("best", "last", ((1, 1.0),), "8"),
        ("best", "min", ((2, 1.0),), "7"),
        ("best", "mean", ((0, 1.0),), "7"),
        ("weighted", "last", ((0, 0.2), (1, 0.5), (2, 0.25)), "8"),
        ("weighted", "product", ((0, 0.18), (1, 0.05), (2, 0.075)), "7"),
        ("majority", "last", None, "7"),
    ],
)
def test_what_wins(
    choose: Selection,
    aggregation: Aggregation,
    weights: tuple[tuple[int, float], ...] | None,
    leader: str,
) -> None:
    policy = BestOfN(samples=4, choose=choose, aggregation=aggregation)
    stop = policy.decide(situation(*VOTES), Random(0))
    assert isinstance(stop, Stop)
    if weights is None:
        assert stop.weights is None
        assert Tally(VOTES).leader == leader
    else:
        assert stop.weights is not None
        assert dict(stop.weights) == pytest.approx(dict(weights))
        assert Tally(VOTES).weighed(dict(stop.weights)).leader == leader


def test_chains_that_are_worth_nothing_still_vote() -> None:
    poor = (Vote(0, "7", 50, 40, rewards=(0.0,)), Vote(1, "8", 50, 40, rewards=()))
    stop = BestOfN(samples=2, choose="weighted").decide(situation(*poor), Random(0))
    assert isinstance(stop, Stop)
    assert stop.weights is not None
    assert Tally(poor).weighed(dict(stop.weights)).leader == "7"
