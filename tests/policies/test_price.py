"""A fixed price stays; one with a goal steers spending, or accuracy, to the goal."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.price import DEFAULT_PRICE, HIGHEST, LOWEST, Price, Rectifier, load_price


def test_a_fixed_price_ignores_what_is_spent() -> None:
    assert Price(2e-4).after(1e6, 0.0) == Price(2e-4)


def test_spending_above_the_budget_raises_the_price_and_below_lowers_it() -> None:
    price = Price.for_tokens(200)
    assert price.after(300).per_token > price.per_token > price.after(100).per_token


def test_more_accuracy_than_asked_raises_the_price_and_less_lowers_it() -> None:
    price = Price.for_accuracy(0.8)
    assert price.after(100, 1.0).per_token > price.per_token > price.after(100, 0.0).per_token
    assert price.after(100, None) == price


def test_one_query_never_moves_the_price_by_much() -> None:
    price = Price.for_tokens(200)
    assert price.after(1e9).per_token < 3 * price.per_token


@given(st.lists(st.floats(0, 1e7), max_size=50), st.floats(1, 1e6))
def test_a_price_stays_in_its_range(spent: list[float], budget: float) -> None:
    price = Price.for_tokens(budget)
    for tokens in spent:
        price = price.after(tokens)
        assert LOWEST <= price.per_token <= HIGHEST
        assert abs(price.surplus) <= price.depth


def spend(price: Price, queries: int, rng: Random) -> float:
    """Mean tokens of a population that spends 2 / sqrt(price) on average, in bursts."""
    total = 0.0
    for _ in range(queries):
        tokens = rng.expovariate(1.0) * 2.0 / price.per_token**0.5
        price = price.after(tokens)
        total += tokens
    return total / queries


@pytest.mark.parametrize("start", [1e-6, 3e-4, 5e-3])
def test_spending_is_held_at_the_budget_from_wherever_it_begins(start: float) -> None:
    assert spend(Price.for_tokens(300, start), 3000, Random(1)) == pytest.approx(300, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_a_job_spends_its_budget(seed: int) -> None:
    price = Price.for_job(300_000, 1000)
    assert spend(price, 1000, Random(seed)) == pytest.approx(300, rel=0.02)


def test_a_server_forgives_old_debts_and_a_job_does_not() -> None:
    server, job = Price.for_tokens(100), Price.for_job(100_000, 1000)
    for _ in range(100):
        server, job = server.after(10_000), job.after(10_000)
    assert server.surplus == server.depth < job.surplus


def test_accuracy_is_held_at_the_goal() -> None:
    """On a population that is right with chance 1 - sqrt(price) * 10, a tenth of it labelled."""
    rng, price, rectifier, right = Random(2), Price.for_accuracy(0.8), Rectifier(), 0
    queries = 4000
    for _ in range(queries):
        chance = max(0.0, 1 - 10 * price.per_token**0.5)
        is_right = rng.random() < chance
        right += is_right
        # The prediction is off by 0.1 everywhere; labels must correct it.
        predicted = min(1.0, chance + 0.1)
        if rng.random() < 0.1:
            rectifier = rectifier.after(predicted, is_right)
        price = price.after(1.0, rectifier.rectified(predicted))
    assert right / queries == pytest.approx(0.8, abs=0.02)


def test_what_was_served_counts_where_it_is_checked() -> None:
    """Guesses are at the goal, so the price moves by a step's payback and by no more."""
    price = Price.for_accuracy(0.8)
    for _ in range(20):
        price = price.after(1.0, 0.8, 0.0)
    assert price.surplus == pytest.approx(-20 * 2 * 0.8)
    assert 0.5 * DEFAULT_PRICE < price.per_token < DEFAULT_PRICE
    for _ in range(80):
        price = price.after(1.0, 0.8, 1.0)
    assert price.surplus == pytest.approx(0.0, abs=1e-9)


@given(st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_with_checked_answers_a_rectified_guess_becomes_right_on_average(
    predicted: float, truth: float
) -> None:
    rng, rectifier = Random(3), Rectifier()
    assert rectifier.rectified(predicted) == predicted
    for _ in range(2000):
        rectifier = rectifier.after(predicted, rng.random() < truth)
    assert rectifier.rectified(predicted) == pytest.approx(truth, abs=0.06)


def test_what_predictions_were_off_by_long_ago_is_forgotten() -> None:
    rectifier = Rectifier()
    for right in [0.0] * 5000 + [1.0] * 20_000:
        rectifier = rectifier.after(0.5, right)
    assert rectifier.rectified(0.5) > 0.95


@given(st.floats(0, 3), st.floats(0, 3))
def test_load_only_ever_adds_to_the_price_and_more_load_not_less(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= load_price(1e-4, low) <= load_price(1e-4, high) < math.inf
    assert load_price(1e-4, 0.0) == 0


@pytest.mark.parametrize("budget", [0, -1, float("inf"), float("nan")])
def test_a_budget_must_be_positive(budget: float) -> None:
    with pytest.raises(ValueError, match=f"tokens_per_query .*{budget}"):
        Price.for_tokens(budget)
    with pytest.raises(ValueError, match=f"tokens_per_job .*{budget}"):
        Price.for_job(budget, 10)


@pytest.mark.parametrize("accuracy", [0.0, 1.0, -0.1, float("nan")])
def test_an_accuracy_must_be_a_share(accuracy: float) -> None:
    with pytest.raises(ValueError, match=f"accuracy .*{accuracy}"):
        Price.for_accuracy(accuracy)


@pytest.mark.parametrize("per_token", [0.0, 1.0, -1e-4, float("nan")])
def test_a_price_must_be_a_small_positive_number(per_token: float) -> None:
    with pytest.raises(ValueError, match="per_token"):
        Price(per_token)


@pytest.mark.parametrize("tokens", [-1.0, float("nan"), float("inf")])
def test_tokens_that_cannot_be_are_refused(tokens: float) -> None:
    with pytest.raises(ValueError, match=f"tokens .*{tokens}"):
        Price.for_tokens(100).after(tokens)


def test_two_goals_exclude_each_other() -> None:
    with pytest.raises(ValueError, match=r"accuracy \(0.5\)"):
        Price(tokens_per_query=100, accuracy=0.5)
