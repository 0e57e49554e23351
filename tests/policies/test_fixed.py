"""One chain under one budget."""

from random import Random

import pytest

from policies.base import Draw, Query, Situation, Stop
from policies.fixed import Fixed
from policies.plan import Budget
from policies.tally import Tally, Vote

SITUATION = Situation(Query("q", ()), Tally(), max_thinking_tokens=500)


def test_draws_one_greedy_chain_with_its_waits_and_stops() -> None:
    policy = Fixed(extensions=2, answer_tokens=16)
    assert policy.decide(SITUATION, Random(0)) == Draw(
        1, Budget(500, extensions=2, answer_tokens=16), 0.0, final=True
    )
    done = Situation(Query("q", ()), Tally((Vote(0, "a", 10, 8, 2),)), 500)
    assert policy.decide(done, Random(0)) == Stop("plan done")


def test_its_cap_and_its_floor_fit_the_context() -> None:
    draw = Fixed(9000, min_thinking_tokens=700).decide(SITUATION, Random(0))
    assert isinstance(draw, Draw)
    assert (draw.budget.max_thinking_tokens, draw.budget.min_thinking_tokens) == (500, 500)


def test_a_floor_above_the_cap_is_refused() -> None:
    with pytest.raises(ValueError, match="min_thinking_tokens"):
        Fixed(10, min_thinking_tokens=20)
