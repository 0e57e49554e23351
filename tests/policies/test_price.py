"""A fixed price stays; a budgeted one steers spending to the budget."""

from random import Random

import pytest

from policies.price import Price


def test_a_fixed_price_ignores_what_is_spent() -> None:
    assert Price.fixed(2e-4).after(1e6) == Price.fixed(2e-4)


def test_spending_above_the_budget_raises_the_price_and_below_lowers_it() -> None:
    price = Price.for_budget(200)
    assert price.after(300).per_token > price.per_token > price.after(100).per_token


def test_one_query_never_moves_the_price_by_much() -> None:
    price = Price.for_budget(200)
    assert price.after(1e9).per_token < 1.7 * price.per_token


def test_spending_settles_at_the_budget() -> None:
    """On a population that spends 2 / sqrt(price) tokens on average."""
    rng, price, spent = Random(1), Price.for_budget(300), []
    for _ in range(3000):
        tokens = rng.expovariate(1.0) * 2.0 / price.per_token**0.5
        price = price.after(tokens)
        spent.append(tokens)
    assert sum(spent[1000:]) / 2000 == pytest.approx(300, rel=0.1)


@pytest.mark.parametrize("budget", [0, -1, float("inf"), float("nan")])
def test_a_budget_must_be_positive(budget: float) -> None:
    with pytest.raises(ValueError, match="tokens_per_query"):
        Price.for_budget(budget)


@pytest.mark.parametrize("per_token", [0.0, 1.0, -1e-4])
def test_a_price_must_be_a_small_positive_number(per_token: float) -> None:
    with pytest.raises(ValueError, match="per_token"):
        Price.fixed(per_token)
