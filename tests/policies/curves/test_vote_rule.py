"""The rule stops where one more vote does not pay, and draws together what it will draw anyway."""

from functools import cache
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.curves.vote_counts import VoteCounts
from policies.curves.vote_curve import VoteCurve, fit_votes
from policies.curves.vote_rule import vote_rules
from policies.curves.vote_types import INDEX, MAX_VOTES, STANDINGS, after_vote
from policies.tally import VoteStanding
from tests.policies.curves.test_vote_curve import learned

START = VoteStanding(1, 0, 0)
PRICES = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 1e-2)


def value(curve: VoteCurve, price: float, column: int) -> float:
    """What the best rule is worth after the first vote, by trying all."""

    @cache
    def best(row: int) -> float:
        right = float(curve.right[row, column])
        if sum(STANDINGS[row]) == MAX_VOTES:
            return right
        lead, second = float(curve.leads[row, column]), float(curve.seconds[row, column])
        chances = (lead, second, 1 - lead - second)
        after = after_vote(STANDINGS[row])
        on = sum(chance * best(to) for chance, to in zip(chances, after, strict=True))
        return max(right, on - price * float(curve.next_tokens[row, column]))

    return best(INDEX[START])


@pytest.mark.parametrize("price", [1e-5, 5e-4, 2e-3])
def test_the_rule_is_as_good_as_brute_force_over_all_continuations(price: float) -> None:
    curve = learned(queries=100, votes=8)
    (rule,) = vote_rules(curve, [price])
    reached = rule.forecast.accuracy - price * (rule.forecast.tokens - curve.first_tokens)
    worth = [value(curve, price, column) for column in range(len(curve.shares))]
    assert reached == pytest.approx(np.dot(curve.shares, worth))


def test_votes_that_are_surely_needed_are_drawn_together() -> None:
    (rule,) = vote_rules(learned(queries=100, votes=8), [1e-5])
    for row, here in enumerate(STANDINGS):
        if rule.round_size(here) > 1:
            assert all(
                rule.round_size(STANDINGS[to]) >= rule.round_size(here) - 1
                for to in after_vote(here)
            )
        assert rule.round_size(here) <= MAX_VOTES - sum(STANDINGS[row])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_a_higher_price_never_buys_more_votes_in_any_standing(seed: int) -> None:
    rng, counts = Random(seed), VoteCounts()
    for _ in range(30):
        here = rng.choice(STANDINGS[:60])
        counts.observe(here, 50 * sum(here), rng.choice([None, True, False]))
    curve = fit_votes(counts)
    assert curve is not None
    rules = vote_rules(curve, PRICES)
    for cheap, dear in zip(rules[:-1], rules[1:], strict=True):
        assert not ((cheap.rounds == 0) & (dear.rounds > 0)).any()
        assert cheap.forecast.tokens >= dear.forecast.tokens - 1e-9
        assert cheap.forecast.accuracy >= dear.forecast.accuracy - 1e-9


def test_no_vote_is_bought_when_the_votes_always_agree() -> None:
    counts = VoteCounts()
    for _ in range(100):
        counts.observe(VoteStanding(8, 0, 0), 400, None)
    curve = fit_votes(counts)
    assert curve is not None
    assert vote_rules(curve, [1e-3])[0].round_size(START) == 0


def test_a_hopeless_question_is_given_up() -> None:
    """Half of the questions are easy, half are answered by chance: scattered votes mean those."""
    rng, counts = Random(3), VoteCounts()
    for _ in range(300):
        if rng.random() < 0.5:
            counts.observe(VoteStanding(8, 0, 0), 400, True)
        else:
            counts.observe(VoteStanding(2, 1, 5), 400, rng.random() < 0.1)
    curve = fit_votes(counts)
    assert curve is not None
    (rule,) = vote_rules(curve, [3e-4])
    assert (
        rule.round_size(VoteStanding(2, 1, 5)) == 0 and rule.round_size(VoteStanding(1, 1, 4)) == 0
    )


def test_where_rounds_are_dear_more_votes_are_drawn_at_once() -> None:
    curve = learned(queries=100, votes=8)
    free, dear = (vote_rules(curve, [1e-5], round_tokens=tokens)[0] for tokens in (0, 500))
    assert dear.first_round > free.first_round
    assert dear.forecast.accuracy > free.forecast.accuracy - 0.02
    assert dear.forecast.tokens > free.forecast.tokens


def test_where_rounds_are_too_dear_one_vote_has_to_do() -> None:
    (rule,) = vote_rules(learned(queries=100, votes=8), [1e-3], round_tokens=1000)
    assert rule.first_round == 1 and rule.round_size(START) == 0


def test_a_vote_beyond_the_tables_stops() -> None:
    (rule,) = vote_rules(learned(queries=20, votes=4), [1e-6])
    assert rule.round_size(VoteStanding(MAX_VOTES, 1, 0)) == 0
    assert np.isfinite(rule.forecast.accuracy)
