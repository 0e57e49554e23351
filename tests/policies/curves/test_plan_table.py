"""Ways to spend are compared by what they are worth, and by how sure that is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.curves.plan_table import Arm
from policies.plan import Forecast

# In millionths: shares that differ by less than a float can tell after a subtraction are equal.
shares = st.integers(0, 10**6).map(lambda millionths: millionths / 10**6)
errors = st.floats(0.001, 0.3)


@given(shares, shares, errors, errors)
def test_of_two_arms_one_is_better(a: float, b: float, error: float, other: float) -> None:
    one, two = Arm("extensions", Forecast(a, 50), error), Arm("votes", Forecast(b, 50), other)
    chance = one.chance_over(two, 1e-3)
    assert chance + two.chance_over(one, 1e-3) == pytest.approx(1)
    assert (chance >= 0.5) == (a >= b)


def test_the_less_is_known_the_likelier_the_worse_arm_is_better() -> None:
    best = Arm("extensions", Forecast(0.6, 50), 0.05)
    sure, unsure = (Arm("votes", Forecast(0.4, 50), error) for error in (0.05, 0.2))
    assert sure.chance_over(best, 1e-3) < 0.01 < 0.1 < unsure.chance_over(best, 1e-3)


def test_tokens_count_by_their_price() -> None:
    cheap, dear = Arm("cap", Forecast(0.5, 10), 0.1), Arm("votes", Forecast(0.6, 300), 0.1)
    assert dear.chance_over(cheap, 1e-5) > 0.5 > dear.chance_over(cheap, 1e-3)
