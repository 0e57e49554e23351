"""A mixture of question types finds what votes are worth, from counts that add up."""

import json
from copy import deepcopy
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.curves.vote_counts import VoteCounts, length_bin
from policies.curves.vote_curve import VoteCurve, fit_votes
from policies.curves.vote_types import INDEX, MAX_VOTES, STANDINGS
from policies.tally import VoteStanding


def standing(answers: list[int]) -> VoteStanding:
    first, second, *rest = sorted((answers.count(a) for a in set(answers)), reverse=True) + [0, 0]
    return VoteStanding(first, second, sum(rest))


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


def test_stopping_early_leaves_the_fit_unbiased() -> None:
    """Stopped as soon as two answers in a row agree, or never: the same curve within its noise."""
    rng, stopped, full = Random(5), VoteCounts(), VoteCounts()
    for _ in range(3000):
        answers = ask(rng, 10)
        until = next((n for n in range(2, 10) if answers[n - 1] == answers[n - 2]), 10)
        for counts, votes in ((stopped, answers[:until]), (full, answers)):
            counts.observe(standing(votes), 50.0 * len(votes), leader(votes) == 0)
    early, late = fit_votes(stopped), fit_votes(full)
    assert early is not None and late is not None
    naive = sum(cell.right for cell in stopped.cells.values()) / stopped.queries
    drawn = round(sum(cell.tokens for cell in stopped.cells.values()) / stopped.queries / 50)
    for count in (1, 3, 5, 9):
        assert early.accuracy[count - 1] == pytest.approx(late.accuracy[count - 1], abs=0.02)
    assert abs(naive - late.accuracy[drawn - 1]) > 0.025, "stopping has no effect, nothing is shown"


def test_the_length_of_the_first_chain_tells_hard_questions_from_easy_ones() -> None:
    rng, counts = Random(6), VoteCounts()
    for _ in range(400):
        hard = rng.random() < 0.5
        share = 0.45 if hard else 0.97
        answers = [0 if rng.random() < share else rng.randint(1, 9) for _ in range(5)]
        thought = 400.0 if hard else 100.0
        counts.observe(standing(answers), 5 * thought, None, first_tokens=thought)
    curve = fit_votes(counts)
    assert curve is not None
    short, long = (curve.columns[length_bin(tokens)] for tokens in (100.0, 400.0))
    row = INDEX[VoteStanding(1, 0, 0)]
    assert curve.leads[row, short] > curve.leads[row, 0] + 0.1 > curve.leads[row, long] + 0.2
    assert curve.next_tokens[row, long] > 2 * curve.next_tokens[row, short]
    assert sum(curve.shares) == pytest.approx(1.0)


observations = st.lists(
    st.tuples(
        st.sampled_from(STANDINGS),
        st.integers(0, 10**6),
        st.sampled_from([None, True, False]),
        st.integers(0, 10**6),
    ),
    max_size=12,
)


def counted(seen: list[tuple[VoteStanding, int, bool | None, int]]) -> VoteCounts:
    counts = VoteCounts()
    for here, tokens, right, first in seen:
        counts.observe(here, tokens, right, first_tokens=first)
    return counts


def merged(*parts: VoteCounts) -> VoteCounts:
    total = VoteCounts()
    for part in parts:
        total.merge(part)
    return total


@given(observations, observations, observations)
def test_merging_is_commutative_and_associative(a: list, b: list, c: list) -> None:  # type: ignore[type-arg]
    one, two, three = counted(a), counted(b), counted(c)
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))
    assert merged(one, two, three) == counted([*a, *b, *c])


@settings(max_examples=20, deadline=None)
@given(observations)
def test_what_is_stored_comes_back_and_fits_the_same(seen: list) -> None:  # type: ignore[type-arg]
    counts = counted(seen)
    again = VoteCounts.from_rows(json.loads(json.dumps(counts.as_rows())))
    assert again == counts
    curve, same = fit_votes(counts), fit_votes(again)
    if curve and same:
        assert np.allclose(curve.right, same.right) and np.isfinite(curve.right).all()


def test_forgetting_scales_every_count() -> None:
    counts = counted([(VoteStanding(2, 1, 0), 300, True, 100)] * 4)
    half = deepcopy(counts)
    half.scale(0.5)
    assert half.queries == 2.0 and half.labelled == 2.0 and counts.queries == 4.0


@pytest.mark.parametrize("tokens", [-1.0, float("nan"), float("inf"), 1e12])
def test_absurd_tokens_are_refused_and_named(tokens: float) -> None:
    with pytest.raises(ValueError, match="^tokens must be"):
        VoteCounts().observe(VoteStanding(1, 0, 0), tokens, None)
    with pytest.raises(ValueError, match="^first_tokens must be"):
        VoteCounts().observe(VoteStanding(1, 0, 0), 10, None, first_tokens=tokens)


@pytest.mark.parametrize("votes", [(0, 0, 0), (1, 2, 0), (MAX_VOTES + 1, 0, 0), (2, 0, 1)])
def test_an_impossible_standing_is_refused_and_named(votes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="^standing must be"):
        VoteCounts().observe(VoteStanding(*votes), 10, None)


@pytest.mark.parametrize(
    "row", [[13, 1, 0, 0, float("nan"), 0, 0, 50], [13, 1, 0, 0, -1, 0, 0, 50], [13, 1, 0, 0, 1]]
)
def test_a_broken_row_is_refused_and_named(row: list[float]) -> None:
    with pytest.raises(ValueError, match="^votes must"):
        VoteCounts.from_rows([row])
