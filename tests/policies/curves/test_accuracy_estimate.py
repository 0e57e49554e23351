"""What is reported of served answers is right on average, and its interval holds at any time."""

import math
from dataclasses import replace
from random import Random

import pytest

from policies.curves.accuracy_estimate import ServedCounts
from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import fit
from policies.curves.drift import warm_start
from policies.curves.label import learn
from policies.curves.observation import Observation
from policies.plan import Budget, Plan
from policies.tally import Vote

BUDGET = Budget(100)
VOTES = Plan("whole", BUDGET)


def observation(
    answer: str = "7", right: bool | None = None, *, chance: float | None = 0.8
) -> Observation:
    truth = {} if right is None else {answer: right}
    vote = Vote(0, answer, 40, 30)
    return Observation("c", (vote,), BUDGET, None, VOTES, truth, chance=chance)


def stream(accuracy: float, queries: int, rng: Random, *, bias: float = 0.0) -> ServedCounts:
    """Half of the questions are hard, and the predictions know which, but are off by a bias."""
    counts = ServedCounts()
    for _ in range(queries):
        counts.observe(*one(accuracy, rng, bias))
    return counts


def one(accuracy: float, rng: Random, bias: float) -> tuple[float, bool | None]:
    spread = min(accuracy, 1 - accuracy)
    true = accuracy + rng.choice((-spread, spread))
    right = rng.random() < true
    return min(1.0, max(0.0, true + bias)), right if rng.random() < 0.2 else None


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("bias", [0.0, -0.3])
def test_the_interval_holds_at_every_time_at_once(accuracy: float, bias: float) -> None:
    misses, runs = 0, 200
    for seed in range(runs):
        rng, counts = Random(f"{seed} {accuracy} {bias}"), ServedCounts()
        for _ in range(500):
            counts.observe(*one(accuracy, rng, bias))
            served = counts.served()
            if served and not served.low <= accuracy <= served.high:
                misses += 1
                break
    # Three standard errors above a twentieth.
    assert misses / runs < 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_predictions_correct_for_what_was_not_checked() -> None:
    with_: list[float] = []
    without: list[float] = []
    for seed in range(100):
        rng = Random(seed)
        powered, plain = ServedCounts(), ServedCounts()
        for _ in range(400):
            chance, right = one(0.5, rng, -0.2)
            powered.observe(chance, right)
            plain.observe(None, right)
        for counts, errors in ((powered, with_), (plain, without)):
            served = counts.served()
            assert served is not None
            errors.append(served.accuracy - 0.5)
    assert abs(sum(with_) / 100) < 0.02
    assert sum(error**2 for error in with_) < 0.6 * sum(error**2 for error in without)


def test_the_interval_narrows_as_answers_are_checked() -> None:
    spans = []
    for queries in (50, 500, 5000):
        served = stream(0.8, queries, Random(0)).served()
        assert served is not None and served.queries == queries
        spans.append(served.high - served.low)
    assert spans[0] > 2 * spans[1] > 4 * spans[2]


def test_nothing_is_said_before_anything_was_checked() -> None:
    counts = ServedCounts()
    counts.observe(0.9, None)
    assert counts.served() is None


@pytest.mark.parametrize("chance", [-0.1, 1.1, math.nan, math.inf])
def test_what_is_no_chance_is_named(chance: float) -> None:
    with pytest.raises(ValueError, match=r"chance must be in \[0, 1\]"):
        ClassStatistics().observe(observation(chance=chance))


def test_a_label_that_comes_later_counts_as_one_that_came_at_once() -> None:
    at_once, later = ClassStatistics(), ClassStatistics()
    at_once.observe(observation(right=True))
    later.observe(observation())
    learn(later, observation(), answer="7", reward=1.0)
    assert later.served["whole"] == at_once.served["whole"]
    assert at_once.served["whole"].checked[:2] == [1.0, 1.0]


def test_exploration_runs_are_not_of_what_is_served_usually() -> None:
    statistics, one = ClassStatistics(), observation(right=True)
    assert one.plan is not None
    is_exploration = replace(one, plan=replace(one.plan, is_exploration=True))
    statistics.observe(is_exploration)
    learn(statistics, replace(is_exploration, right={}), answer="7", reward=1.0)
    assert not statistics.served and statistics.queries == 1


def test_half_a_reward_is_half_right() -> None:
    statistics = ClassStatistics()
    statistics.observe(observation())
    learn(statistics, observation(), answer="7", reward=0.5)
    assert statistics.served["whole"].checked[:2] == [1.0, 0.5]
    assert statistics.served["whole"].unchecked[0] == 0.0


def test_a_curve_tells_what_was_served_and_keeps_it_when_stored() -> None:
    statistics = ClassStatistics()
    for number in range(30):
        statistics.observe(observation(right=number % 3 > 0))
    again = ClassStatistics.from_dict(statistics.as_dict())
    curve = fit(again, price=1e-3)
    assert curve.served["whole"].accuracy == pytest.approx(2 / 3)
    assert curve.as_dict()["served"]["whole"]["checked"] == 30


def test_a_new_model_is_not_credited_with_what_the_old_one_served() -> None:
    statistics = ClassStatistics()
    statistics.observe(observation(right=True))
    assert not warm_start(statistics).served
