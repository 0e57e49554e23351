"""What seems second best is tried as often as it may be the best, and less as more is known."""

import pytest

from policies.curve import ClassCurve
from policies.exploration import MOST_TRIALS, NEGLIGIBLE, Choice, choices
from tests.policies.test_priced import VOTES_PAY, WAITS_PAY, learned

PRICE = 3e-4


def offered(curve: ClassCurve, exploration: float = 0.08, price: float = PRICE) -> list[Choice]:
    return choices(curve, curve.menu(price).arms, price, exploration=exploration)


def trials_of_votes(curve: ClassCurve) -> float:
    """Share of queries that try other votes than the best plan's."""
    arms = curve.menu(PRICE).arms
    return sum(
        choice.propensity
        for choice in offered(curve)
        if choice.arm.name == "votes" and choice.arm not in arms and not choice.shadow
    )


@pytest.mark.parametrize("curve", [WAITS_PAY, VOTES_PAY], ids=["waits pay", "votes pay"])
@pytest.mark.parametrize("exploration", [0.01, 0.08, 0.5, 1.0])
@pytest.mark.parametrize("price", [1e-5, 3e-4, 5e-3])
def test_shares_are_chances_whatever_the_exploration(
    curve: ClassCurve, exploration: float, price: float
) -> None:
    found = offered(curve, exploration, price)
    assert sum(choice.propensity for choice in found) == pytest.approx(1)
    assert all(choice.propensity >= -1e-12 for choice in found)
    tried = [c.propensity for c in found[:-1] if not c.shadow and c.arm in curve.menu(price).arms]
    assert sum(tried) <= exploration + 1e-12
    assert found[-1].arm == curve.menu(price).arms[0]


def test_more_votes_are_tried_less_as_more_is_known_of_them() -> None:
    sets = ["aaaaab", "aaabac", "aacaab"]
    shares = [trials_of_votes(learned([], sets * times)) for times in (1, 4, 40)]
    assert MOST_TRIALS >= shares[0] > shares[1] > 2 * NEGLIGIBLE
    assert shares[2] < 0.5 * shares[0]
    assert shares[2] <= (40 * len(sets)) ** -0.5


def test_more_votes_are_judged_by_queries_of_several_votes_only() -> None:
    one_each, several = learned([], ["a", "a", "b"] * 20), learned([], ["aaa", "aab", "bba"] * 20)
    assert one_each.votes is not None and several.votes is not None
    gain, cost = 0.05, 0.15
    unknown = one_each.votes.chance_of_gain(gain, cost)
    known = several.votes.chance_of_gain(gain, cost)
    assert 0.5 > unknown > 10 * known > 0
