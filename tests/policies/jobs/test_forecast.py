"""What a sample says of a whole job."""

import math
from random import Random

import pytest

from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import ClassCurve, fit
from policies.curves.observation import Observation
from policies.jobs.forecast import at_price, expected, ladder, reached_by
from policies.plan import Budget
from policies.tally import Vote


def test_intervals_cover_the_mean_of_the_population_as_often_as_they_say() -> None:
    rng, covered, trials = Random(0), 0, 400
    population = [rng.expovariate(1 / 100) for _ in range(1000)]
    truth = sum(population) / len(population)
    for _ in range(trials):
        found = expected(rng.sample(population, 60), len(population))
        assert found is not None
        covered += found.low <= truth <= found.high
    assert 0.90 < covered / trials < 0.98


def test_all_of_it_has_no_interval_and_nothing_has_no_mean() -> None:
    assert expected([1.0, 3.0], 2) == (2.0, 2.0, 2.0)
    assert expected([], 5) is None
    one = expected([3.0], 5)
    assert one is not None and math.isinf(one.high)


def curve(share: float, tokens: int) -> ClassCurve:
    """Of votes that are right with this chance."""
    rng, statistics = Random(1), ClassStatistics()
    for _ in range(200):
        answers = ["1" if rng.random() < share else str(rng.randrange(2, 9)) for _ in range(6)]
        history = tuple(Vote(n, each, tokens, tokens - 4) for n, each in enumerate(answers))
        right = {each: each == "1" for each in answers}
        statistics.observe(Observation("c", history, Budget(1000), None, right=right))
    return fit(statistics, price=3e-4)


def test_more_tokens_reach_more_and_too_few_reach_nothing() -> None:
    curves, shares = {"a": curve(0.6, 50), "b": curve(0.9, 20)}, {"a": 0.5, "b": 0.5}
    assert ladder(curves) == sorted(ladder(curves), reverse=True)
    low, high = reached_by(curves, shares, 200), reached_by(curves, shares, 600)
    assert low is not None and high is not None
    assert low.accuracy < high.accuracy and low.tokens <= 200
    assert reached_by(curves, shares, 1) is None
    assert at_price(curves, {"unknown": 1.0}, 3e-4) is None


def test_a_higher_price_buys_less() -> None:
    curves, shares = {"a": curve(0.6, 50)}, {"a": 1.0}
    dear, cheap = at_price(curves, shares, 2e-3), at_price(curves, shares, 1e-4)
    assert dear is not None and cheap is not None
    assert dear.tokens < cheap.tokens
    assert dear.accuracy == pytest.approx(cheap.accuracy, abs=0.5)
