"""REBASE by hand-computed cases: widths, levels, budgets, and the last vote."""

from random import Random
from typing import Any

import pytest

from policies import build
from policies.base import Branch, Draw, Limits, Query, Situation, Stop
from policies.plan import Budget
from policies.rebase import Rebase, balanced, frontier
from policies.tally import Tally, Vote

POLICY = Rebase(width=4, steps=3, step_tokens=50, answer_tokens=10, max_thinking_tokens=300)
STEP = Budget(300, answer_tokens=10, step_tokens=50, step_text="\n")


def paused(chain: int, reward: float, parent: int | None = None) -> Vote:
    return Vote(chain, None, 50, 50, stop_cause="paused", parent=parent, rewards=(0.5, reward))


def answered(chain: int, answer: str, reward: float, parent: int | None = None) -> Vote:
    return Vote(chain, answer, 40, 90, parent=parent, rewards=(reward,))


def situation(*votes: Vote, pending: int = 0, most: int | None = None, spent: int = 0) -> Situation:
    query = Query("q", (), limits=Limits(most))
    return Situation(query, Tally(votes), 500, pending=pending, tokens_spent=spent)


@pytest.mark.parametrize(
    ("rewards", "width", "temperature", "expected"),
    [
        # Equal rewards: one each.
        ([0.5, 0.5, 0.5, 0.5], 4, 0.2, [1, 1, 1, 1]),
        # e^(.4/.2) = 7.389 to 1: ceil(4 * .8808) = 4, and nothing is left for the second.
        ([0.9, 0.5], 4, 0.2, [4, 0]),
        # 16 * .8808 = 14.09, rounded up to 15; the last takes what is left.
        ([0.9, 0.5], 16, 0.2, [15, 1]),
        # e^0, e^-.5, e^-1 = 1, .6065, .3679: ceil(8 / 1.9744) = 5 (4.05); then
        # ceil(3 * .6065 / .9744) = 2 (1.87); then 1.
        ([0.9, 0.8, 0.7], 8, 0.2, [5, 2, 1]),
        # A high temperature spreads evenly, rounded up from the first: 3 / 2 -> 2.
        ([1.0, 0.0], 3, 1e6, [2, 1]),
        # A low one gives all to the best, and does not overflow.
        ([1.0, 0.0], 3, 1e-6, [3, 0]),
        ([0.7], 5, 0.2, [5]),
    ],
)
def test_widths_are_those_of_the_published_code(
    rewards: list[float], width: int, temperature: float, expected: list[int]
) -> None:
    assert balanced(rewards, width, temperature) == expected


def test_the_first_level_is_as_wide_as_the_tree() -> None:
    assert POLICY.decide(situation(), Random(0)) == Draw(4, STEP, None)


def test_a_level_branches_off_what_has_paused_the_best_first() -> None:
    votes = (paused(0, 0.5), paused(1, 0.9), paused(2, 0.1), answered(3, "7", 0.3))
    # Width 3 is left; ceil(3 * 7.389 / (7.389 + 1 + .1353)) = 3 of .9, .5 and .1.
    assert POLICY.decide(situation(*votes), Random(0)) == Branch(((1, 3),), STEP)
    flat = Rebase(width=4, step_tokens=50, reward_temperature=100.0)
    decision = flat.decide(situation(*votes), Random(0))
    assert isinstance(decision, Branch)
    assert decision.widths == ((1, 2), (0, 1))  # 3 / 3 is a little over 1, rounded up


def test_chains_of_earlier_levels_are_left_alone() -> None:
    votes = (paused(0, 0.9), paused(1, 0.2), paused(2, 0.4, parent=0), paused(3, 0.6, parent=0))
    level, leaves = frontier(votes)
    assert (level, [leaf.chain for leaf in leaves]) == (2, [2, 3])


def test_after_the_last_level_chains_think_to_their_end() -> None:
    votes = (paused(0, 0.9), paused(1, 0.9, parent=0), paused(2, 0.9, parent=1))
    decision = POLICY.decide(situation(*votes), Random(0))
    assert decision == Branch(((2, 4),), Budget(300, answer_tokens=10))


def test_it_ends_when_all_branches_have_answered() -> None:
    votes = (paused(0, 0.9), answered(1, "7", 0.2, 0), answered(2, "8", 0.9, 0),
             answered(3, "7", 0.3, 0))  # fmt: skip
    stop = POLICY.decide(situation(*votes), Random(0))
    assert stop == Stop("plan done", ((1, 0.2), (2, 0.9), (3, 0.3)))
    best = Rebase(width=4, choose="best").decide(situation(*votes), Random(0))
    assert best == Stop("plan done", ((2, 1.0),))
    majority = Rebase(width=4, choose="majority").decide(situation(*votes), Random(0))
    assert majority == Stop("plan done", None)


def test_while_chains_run_it_goes_on() -> None:
    assert isinstance(POLICY.decide(situation(paused(0, 0.9), pending=3), Random(0)), Draw)


def test_a_level_is_as_wide_as_the_tokens_allow() -> None:
    # A branch takes 50 + 10 + 40 at worst, and one answer of 10 + 40 must be left: 2 of 250.
    two = POLICY.decide(situation(most=250), Random(0))
    assert two == Draw(2, STEP, None)
    later = POLICY.decide(situation(paused(0, 0.9), paused(1, 0.9), most=350, spent=100), Random(0))
    assert later == Branch(((0, 1), (1, 1)), STEP)


def test_without_the_tokens_for_a_level_the_best_answer_at_once() -> None:
    votes = (paused(0, 0.1), paused(1, 0.9))
    decision = POLICY.decide(situation(*votes, most=200, spent=100), Random(0))
    assert decision == Branch(((1, 1), (0, 1)), Budget(300, answer_tokens=10), conclude=True)
    assert POLICY.decide(situation(most=100), Random(0)) == Draw(1, Budget(300, answer_tokens=10))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("width", 0),
        ("width", 2000),
        ("steps", 0),
        ("step_tokens", 0),
        ("step_text", ""),
        ("reward_temperature", 0),
        ("temperature", 0),
        ("choose", "worst"),
        ("aggregation", "sum"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(option: str, value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        build("rebase", **{option: value})
    assert option in str(caught.value) and str(value) in str(caught.value)


def test_a_tree_may_not_have_more_chains_than_a_query() -> None:
    with pytest.raises(ValueError, match="width is 64 and steps is 25: that may be 1664 chains"):
        Rebase(width=64)
