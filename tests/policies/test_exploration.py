"""What seems second best is tried as often as it may be the best, and less as more is known."""

from dataclasses import replace

import pytest

from policies.curves.curve import ClassCurve
from policies.exploration import (
    CHECKED,
    MOST_TRIALS,
    NEGLIGIBLE,
    PlanCandidate,
    checked_first,
    choices,
)
from tests.policies.test_priced import EXTENSIONS_PAY, VOTES_PAY, learned

PRICE = 3e-4


def offered(
    curve: ClassCurve, exploration: float = 0.08, price: float = PRICE, *, checked: bool = False
) -> list[PlanCandidate]:
    arms = curve.plan_table(price).arms
    return choices(curve, arms, price, exploration=exploration, checked=checked)


def trials_of_votes(curve: ClassCurve) -> float:
    """Share of queries that try other votes than the best plan's."""
    arms = curve.plan_table(PRICE).arms
    return sum(
        choice.propensity
        for choice in offered(curve)
        if choice.arm.name == "votes" and choice.arm not in arms and not choice.is_exploration
    )


@pytest.mark.parametrize("curve", [EXTENSIONS_PAY, VOTES_PAY], ids=["extensions pay", "votes pay"])
@pytest.mark.parametrize("exploration", [0.01, 0.08, 0.5, 1.0])
@pytest.mark.parametrize("price", [1e-5, 3e-4, 5e-3])
@pytest.mark.parametrize(
    ("share", "checked"), [(1.0, True), (0.0, False), (0.1, True), (0.1, False)]
)
def test_shares_are_chances_whatever_the_exploration(
    curve: ClassCurve, exploration: float, price: float, share: float, checked: bool
) -> None:
    curve = replace(curve, referenced=share * curve.queries)
    found = offered(curve, exploration, price, checked=checked)
    assert sum(choice.propensity for choice in found) == pytest.approx(1)
    assert all(choice.propensity >= -1e-12 for choice in found)
    tried = [
        c.propensity
        for c in found[:-1]
        if not c.is_exploration and c.arm in curve.plan_table(price).arms
    ]
    assert sum(tried) <= checked_first(exploration, checked, share) + 1e-12
    assert found[-1].arm == curve.plan_table(price).arms[0]


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


@pytest.mark.parametrize("chance", [0.0, 0.01, 0.08, 0.5, 1.0])
@pytest.mark.parametrize("share", [1e-4, 0.01, 0.2, 0.7])
def test_what_is_tried_falls_on_checked_queries_and_is_as_much_as_it_was(
    chance: float, share: float
) -> None:
    checked, unchecked = (checked_first(chance, is_checked, share) for is_checked in (True, False))
    assert 0 <= unchecked <= chance + 1e-12 and chance <= checked <= 1
    assert share * checked + (1 - share) * unchecked == pytest.approx(chance)
    if chance * CHECKED / share <= MOST_TRIALS:
        assert share * checked == pytest.approx(CHECKED * chance)


@pytest.mark.parametrize("is_checked", [True, False])
def test_where_none_or_all_bring_their_answer_all_are_tried_alike(is_checked: bool) -> None:
    assert checked_first(0.08, is_checked, 0.0) == checked_first(0.08, is_checked, 1.0) == 0.08


def test_exploration_runs_are_of_checked_queries_before_others() -> None:
    curve = replace(VOTES_PAY, referenced=0.2 * VOTES_PAY.queries)
    shares = [
        sum(
            choice.propensity for choice in offered(curve, checked=checked) if choice.is_exploration
        )
        for checked in (True, False)
    ]
    assert shares[0] == pytest.approx(36 * shares[1])
