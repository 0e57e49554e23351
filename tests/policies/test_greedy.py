"""A chain that stands alone is greedy only where that is meant, and votes never are."""

from random import Random

import pytest

from policies import POLICIES, build
from policies.base import Draw, Query, Situation
from policies.curves.class_statistics import ClassStatistics
from policies.curves.observation import Observation
from policies.plan import Budget, Plan
from policies.tally import Tally, Vote

SEEDS = range(20)


def first_temperatures(name: str, *, greedy: bool, **options: object) -> set[float | None]:
    situation = Situation(Query("q", ()), Tally(), 500, greedy=greedy)
    policy = build(name, **options)
    draws = [policy.decide(situation, Random(seed)) for seed in SEEDS]
    return {draw.temperature for draw in draws if isinstance(draw, Draw)}


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_is_greedy_where_the_format_does_not_mean_it(name: str) -> None:
    assert 0.0 not in first_temperatures(name, greedy=False)


@pytest.mark.parametrize("name", ["fixed", "priced", "priced_exit", "deer", "token_conditional"])
def test_single_chains_are_greedy_where_the_format_means_it(name: str) -> None:
    assert 0.0 in first_temperatures(name, greedy=True)


def test_a_temperature_that_is_asked_for_holds() -> None:
    for greedy in (True, False):
        assert first_temperatures("fixed", greedy=greedy, temperature=0.7) == {0.7}
        assert first_temperatures("fixed", greedy=greedy, temperature=0.0) == {0.0}


def test_the_papers_own_code_is_greedy_for_every_model() -> None:
    for option in ("harness_compat", "readme_compat"):
        asked = {"max_thinking_tokens": 100, option: True}
        assert first_temperatures("fixed", greedy=False, **asked) == {0.0}


@pytest.mark.parametrize(("name", "single"), [("extensions", 1.0), ("cap", 1.0), ("votes", 0.0)])
def test_sampled_chains_teach_what_their_plan_is_of(name: str, single: float) -> None:
    plan = Plan(name, Budget(100, answer_tokens=8), None, is_exploration=True)
    statistics = ClassStatistics()
    history = (Vote(0, "7", 20, 12, 0), Vote(0, "7", 30, 18, 1))[: 1 if name == "votes" else 2]
    statistics.observe(Observation("c", history, plan.budget, None, plan))
    assert (statistics.exploration_chains, statistics.exploration_votes) == (single, 1 - single)
