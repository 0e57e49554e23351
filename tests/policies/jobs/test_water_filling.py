"""Prices that fall, and what a budget can hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.jobs.water_filling import (
    FALL,
    MOST_PASSES,
    PILOT,
    FirstChains,
    can_hold,
    first_price,
    next_gain,
    price_of,
)
from policies.price import HIGHEST, LOWEST


@given(st.floats(1, 1e12), st.integers(1, 10**7))
def test_prices_fall_and_stay_in_range(tokens: float, queries: int) -> None:
    first = first_price(tokens, queries)
    prices = [price_of(first, number) for number in range(MOST_PASSES)]
    assert all(LOWEST <= price <= HIGHEST for price in prices)
    assert prices == sorted(prices, reverse=True)
    assert prices[1] in (first / FALL, LOWEST)


def test_a_larger_budget_begins_at_a_lower_price() -> None:
    assert first_price(1e6, 1000) > first_price(1e7, 1000)
    assert first_price(None, 1000) == first_price(None, 1)


def seen(*tokens: float) -> FirstChains:
    chains = FirstChains()
    for each in tokens:
        chains = chains.after(each)
    return chains


def test_a_budget_is_doubted_only_by_what_was_seen() -> None:
    assert can_hold(1, 1000, FirstChains())
    assert can_hold(1, 1000, seen(*[100] * (PILOT - 1)))
    assert not can_hold(99_000, 1000, seen(*[100] * PILOT))
    assert can_hold(101_000, 1000, seen(*[100] * PILOT))
    # Lengths that scatter leave room for doubt.
    assert can_hold(60_000, 1000, seen(*[20, 180] * PILOT))


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=50))
def test_mean_and_error_are_those_of_the_sample(tokens: list[float]) -> None:
    chains = seen(*tokens)
    mean = sum(tokens) / len(tokens)
    assert chains.mean == pytest.approx(mean)
    squares = sum((each - mean) ** 2 for each in tokens) / len(tokens)
    assert chains.error**2 * (len(tokens) - 1) == pytest.approx(squares, rel=1e-3, abs=1e-3)
    assert chains.needed(10) <= 10 * mean + 1e-6


def test_what_more_tokens_bring_is_their_price() -> None:
    assert next_gain(1e-4, 10_000) == pytest.approx(1.0)


def test_a_job_explores_while_its_budget_holds_that_and_a_chain_of_each_query() -> None:
    chains = FirstChains().after(90).after(110)
    assert chains.bear_exploring(None, 1000, 9) and FirstChains().bear_exploring(None, 1000, 9)
    assert FirstChains().bear_exploring(1, 1000, 4) and not FirstChains().bear_exploring(1, 1000, 5)
    assert chains.bear_exploring(18_100, 50, 9) and not chains.bear_exploring(17_900, 50, 9)
