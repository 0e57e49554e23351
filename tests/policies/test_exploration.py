"""What is tried falls on queries that bring their right answer."""

from dataclasses import replace
from random import Random

import pytest

from policies.curves.plans.counts import PlanCounts, courses_of
from policies.curves.plans.curve import fit_plans
from policies.curves.plans.settings import ChainSetting
from policies.exploration import CHECKED, MOST_TRIALS, checked_first, voting_rival
from policies.tally import Vote


@pytest.mark.parametrize("chance", [0.0, 0.01, 0.08, 0.5, 1.0])
@pytest.mark.parametrize("share", [1e-4, 0.01, 0.2, 0.7])
def test_what_is_tried_falls_on_checked_queries_and_is_as_much_as_it_was(
    chance: float, share: float
) -> None:
    checked, unchecked = (checked_first(chance, is_checked, share) for is_checked in (True, False))
    assert 0 <= unchecked <= chance + 1e-12 and chance <= checked <= 1
    assert share * checked + (1 - share) * unchecked == pytest.approx(chance)
    if chance * CHECKED / share <= MOST_TRIALS:
        assert share * checked == pytest.approx(CHECKED * chance)


@pytest.mark.parametrize("is_checked", [True, False])
def test_where_none_or_all_bring_their_answer_all_are_tried_alike(is_checked: bool) -> None:
    assert checked_first(0.08, is_checked, 0.0) == checked_first(0.08, is_checked, 1.0) == 0.08


def is_r(answer: str | None) -> bool:
    return answer == "r"


def observed(queries: int, *, sampled: float, greedy: float, several: int) -> PlanCounts:
    """Greedy chains that are right so often, and some queries of three sampled ones."""
    counts, rng = PlanCounts(), Random(0)
    for number in range(queries):
        is_greedy, chance = number >= several, sampled if number < several else greedy
        chains = 1 if is_greedy else 3
        answers = ["r" if rng.random() < chance else rng.choice("abc") for _ in range(chains)]
        votes = [Vote(at, answer, 54, 50) for at, answer in enumerate(answers)]
        courses = courses_of(votes, (), ChainSetting(tried=True))
        counts.observe(courses, is_r, is_exploration=True, is_greedy=is_greedy)
    return counts


def test_votes_that_may_be_better_than_a_greedy_chain_are_tried_as_often_as_they_may_be() -> None:
    chances = []
    for several in (6, 200):
        curve = fit_plans(observed(400, sampled=0.3, greedy=0.9, several=several), prices=[1e-4])
        assert curve is not None
        best = curve.tables[0].plans[0]
        assert best.votes.is_one_vote
        assert best.forecast.accuracy == pytest.approx(0.9, abs=0.05)
        found = voting_rival(curve, replace(best, error=0.02), 1e-4)
        chances.append(found[1] if found else 0.0)
    assert chances[0] > chances[1]
    assert chances[1] < 0.01


def test_greedy_and_sampled_chains_are_told_apart() -> None:
    curve = fit_plans(observed(400, sampled=0.7, greedy=0.4, several=200), prices=[1e-4])
    assert curve is not None
    plan = curve.tables[0].plans[0]
    assert not plan.votes.is_one_vote
    assert plan.once == pytest.approx(0.7, abs=0.07) and plan.forecast.accuracy > plan.once
