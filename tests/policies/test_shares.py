"""Who spends above its share pays more; nobody pays less than the common price."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.shares import Shares


def charged(weights: dict[str, float], *tenants: str, rounds: int = 100) -> Shares:
    shares = Shares(weights)
    for _ in range(rounds):
        for tenant in tenants:
            shares.charge(tenant, 100)
    return shares


def test_who_is_alone_pays_the_common_price() -> None:
    assert charged({}, "a").factor("a") == 1.0
    assert charged({}, "a").factor("newcomer") == 1.0


def test_a_tenant_with_three_quarters_of_the_tokens_pays_half_as_much_again() -> None:
    shares = charged({}, "greedy", "greedy", "greedy", "modest", rounds=400)
    assert shares.factor("greedy") == pytest.approx(1.5, rel=0.02)
    assert shares.factor("modest") == 1.0


def test_a_tenant_with_a_larger_weight_may_spend_more() -> None:
    shares = charged({"greedy": 3.0}, "greedy", "greedy", "greedy", "modest", rounds=400)
    assert shares.factor("greedy") == pytest.approx(1.0, rel=0.02)
    assert shares.factor("modest") == pytest.approx(1.0, rel=0.02)


def test_who_has_left_takes_no_share() -> None:
    shares = charged({}, "a", "b")
    for _ in range(2000):
        shares.charge("a", 100)
    assert shares.factor("a") == 1.0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 10_000)), max_size=60))
def test_factors_are_at_least_one_and_at_most_one_over_the_share(
    charges: list[tuple[str, int]],
) -> None:
    shares = Shares()
    for tenant, tokens in charges:
        shares.charge(tenant, tokens)
    assert all(1.0 <= shares.factor(tenant) <= 4.0 + 1e-9 for tenant in "abcd")


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_must_be_positive(weight: float) -> None:
    with pytest.raises(ValueError, match=f"shares.a .*{weight}"):
        Shares({"a": weight})
