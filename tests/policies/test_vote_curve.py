"""A mixture of question types finds what votes are worth, and the rule stops where it should."""

from functools import cache
from random import Random

import pytest

from policies.tally import Standing
from policies.vote_curve import VoteCounts, VoteCurve, fit_votes
from policies.vote_types import MAX_VOTES, STANDINGS, after_vote


def standing(answers: list[int]) -> Standing:
    first, second, *rest = sorted((answers.count(a) for a in set(answers)), reverse=True) + [0, 0]
    return Standing(first, second, sum(rest))


def leader(answers: list[int]) -> int:
    return max(dict.fromkeys(answers), key=answers.count)


def ask(rng: Random, votes: int) -> list[int]:
    """Answer 0 is right: half of the questions are easy, the others give it 45 % of the time."""
    share = 0.97 if rng.random() < 0.5 else 0.45
    return [0 if rng.random() < share else rng.randint(1, 9) for _ in range(votes)]


def learned(*, queries: int, votes: int, labelled: float = 1.0, seed: int = 1) -> VoteCurve:
    rng, counts = Random(seed), VoteCounts()
    for _ in range(queries):
        answers = ask(rng, votes)
        right = leader(answers) == 0 if rng.random() < labelled else None
        counts.observe(standing(answers), 50 * votes, right)
    curve = fit_votes(counts)
    assert curve is not None
    return curve


def true_accuracy(votes: int) -> float:
    rng = Random(99)
    return sum(leader(ask(rng, votes)) == 0 for _ in range(4000)) / 4000


def test_without_a_vote_there_is_no_curve() -> None:
    assert fit_votes(VoteCounts(), VoteCounts()) is None


@pytest.mark.parametrize("votes", [1, 4, 8, 16])
def test_the_accuracy_of_a_known_population_lies_in_its_interval(votes: int) -> None:
    curve = learned(queries=200, votes=max(votes, 8))
    low, high = curve.interval(votes)
    assert low <= true_accuracy(votes) <= high
    assert curve.tokens[votes - 1] == pytest.approx(50 * votes, rel=0.02)


def test_few_labels_do_nearly_as_well_as_all() -> None:
    few, full = (learned(queries=200, votes=8, labelled=share) for share in (0.2, 1.0))
    assert few.accuracy[7] == pytest.approx(full.accuracy[7], abs=0.08)


def test_agreement_alone_shows_that_votes_help() -> None:
    curve = learned(queries=200, votes=8, labelled=0.0)
    assert curve.accuracy[7] > curve.accuracy[0] + 0.03


def test_a_class_without_votes_takes_its_parents_curve() -> None:
    rng, parent = Random(4), VoteCounts()
    for _ in range(100):
        parent.observe(standing(ask(rng, 8)), 400, None)
    own, pooled = fit_votes(VoteCounts(), parent), fit_votes(parent)
    assert own is not None and pooled is not None
    assert own.accuracy[0] == pytest.approx(pooled.accuracy[0])


def test_the_rule_is_as_good_as_brute_force_over_all_continuations() -> None:
    curve, price, most = learned(queries=100, votes=8), 5e-4, 5

    @cache
    def value(row: int) -> float:
        right = float(curve.right[row])
        if sum(STANDINGS[row]) == most:
            return right
        lead, second = float(curve.leads[row]), float(curve.seconds[row])
        chances = (lead, second, 1 - lead - second)
        after = after_vote(STANDINGS[row])
        on = sum(chance * value(to) for chance, to in zip(chances, after, strict=True))
        return max(right, on - price * float(curve.next_tokens[row]))

    rule = curve.rule(price, most)
    expected = value(0) - price * curve.first_tokens
    assert rule.forecast.accuracy - price * rule.forecast.tokens == pytest.approx(expected)


def test_votes_that_are_surely_needed_are_drawn_together() -> None:
    rule = learned(queries=100, votes=8).rule(1e-5)
    for row, here in enumerate(STANDINGS):
        if rule.needed[here] > 1:
            assert all(
                rule.needed[STANDINGS[to]] >= rule.needed[here] - 1 for to in after_vote(here)
            )
        assert rule.needed[here] <= MAX_VOTES - sum(STANDINGS[row])


def test_a_higher_price_never_buys_more_votes() -> None:
    curve = learned(queries=100, votes=8)
    tokens = [curve.rule(price).forecast.tokens for price in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)]
    assert tokens == sorted(tokens, reverse=True)


def test_no_vote_is_bought_when_the_votes_always_agree() -> None:
    counts = VoteCounts()
    for _ in range(100):
        counts.observe(Standing(8, 0, 0), 400, None)
    curve = fit_votes(counts)
    assert curve is not None
    assert curve.rule(1e-3).needed[Standing(1, 0, 0)] == 0
