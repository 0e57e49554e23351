"""A chain that stands alone is greedy only where that is meant, and votes never are."""

from random import Random

import pytest

from policies import POLICIES, build
from policies.base import Draw, Query, Situation
from policies.tally import Tally

SEEDS = range(20)


def first_temperatures(name: str, *, greedy: bool, **options: object) -> set[float | None]:
    situation = Situation(Query("q", ()), Tally(), 500, greedy=greedy)
    policy = build(name, **options)
    draws = [policy.decide(situation, Random(seed)) for seed in SEEDS]
    return {draw.temperature for draw in draws if isinstance(draw, Draw)}


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_is_greedy_where_the_format_does_not_mean_it(name: str) -> None:
    assert 0.0 not in first_temperatures(name, greedy=False)


@pytest.mark.parametrize("name", ["fixed", "priced", "deer", "token_conditional"])
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
