"""The tables of question types agree with counting all outcomes by hand."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from policies.curves.vote_types import INDEX, MAX_VOTES, MODE, STANDINGS, after_vote, tables
from policies.tally import VoteStanding

VOTES = 4
FEW = next(
    row for row in range(len(tables().mode)) if tables().share[row] @ [1, 1, 2] == pytest.approx(1)
)


def standing(votes: tuple[int, ...]) -> VoteStanding:
    first, second, *rest = [*sorted(Counter(votes).values(), reverse=True), 0]
    return VoteStanding(first, second, sum(rest))


def outcomes(row: int) -> dict[tuple[int, ...], float]:
    """Every sequence of votes on a mode, a second and two others, with its chance."""
    mode, second, other = tables().share[row]
    chances = (mode, second, other, other)
    return {
        votes: float(np.prod([chances[vote] for vote in votes]))
        for votes in product(range(4), repeat=VOTES)
    }


def test_every_standing_is_indexed_once() -> None:
    assert len(set(STANDINGS)) == len(STANDINGS) == len(INDEX)
    assert all(1 <= sum(here) <= MAX_VOTES for here in STANDINGS)


def test_a_vote_leads_to_a_standing_with_one_vote_more() -> None:
    for here in STANDINGS:
        if sum(here) < MAX_VOTES:
            assert {sum(STANDINGS[to]) for to in after_vote(here)} == {sum(here) + 1}


def test_no_answer_is_likelier_than_the_mode_and_shares_add_up() -> None:
    share = tables().share
    assert (share[:, :1] >= share - 1e-12).all()
    assert (share[:, 0] + share[:, 1] <= 1 + 1e-9).all()


def test_the_likelihood_of_a_standing_is_that_of_all_votes_that_give_it() -> None:
    chances: dict[tuple[VoteStanding, bool], float] = {}
    for votes, chance in outcomes(FEW).items():
        counts = Counter(votes)
        leaders = [answer for answer in counts if counts[answer] == max(counts.values())]
        for leader in leaders:
            key = (standing(votes), leader == 0)
            chances[key] = chances.get(key, 0.0) + chance / len(leaders)
    for here in {where for where, _ in chances}:
        likelihood = tables().likelihood[INDEX[here], FEW]
        by_mode = chances.get((here, True), 0.0), chances.get((here, False), 0.0)
        expected = by_mode[0] / sum(by_mode)
        assert likelihood[MODE] / likelihood.sum() == pytest.approx(expected, abs=1e-9)


def test_the_chance_of_a_vote_level_with_the_runner_up_is_as_counted() -> None:
    total: dict[VoteStanding, float] = {}
    level: dict[VoteStanding, float] = {}
    shares = (*tables().share[FEW], tables().share[FEW][2])
    for votes, chance in outcomes(FEW).items():
        here, counts = standing(votes), Counter(votes)
        if here.runner_up in (0, here.leader):
            continue
        also = [answer for answer in counts if counts[answer] == here.runner_up]
        total[here] = total.get(here, 0.0) + chance
        level[here] = level.get(here, 0.0) + chance * sum(shares[answer] for answer in also)
    for here, chance in total.items():
        row = INDEX[here]
        found = tables().level[row, FEW] / tables().by_type[row, FEW]
        assert found == pytest.approx(level[here] / chance, abs=1e-9)


def test_the_chance_to_lead_is_that_of_all_votes_where_ties_are_drawn() -> None:
    leads = np.zeros(3)
    for votes, chance in outcomes(FEW).items():
        counts = Counter(votes)
        tied = [answer for answer in counts if counts[answer] == max(counts.values())]
        for answer in tied:
            leads[min(answer, 2)] += chance / len(tied)
    assert tables().leads[VOTES - 1, FEW] == pytest.approx(leads, abs=1e-9)
