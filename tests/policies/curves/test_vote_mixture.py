"""Of each type of question at most one answer is right, and labels of any leader tell which."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.curves.vote_counts import VoteCounts
from policies.curves.vote_mixture import FOR_CLASS, fit_mixture, prior_mixture
from policies.curves.vote_types import MODE, SECOND, STANDINGS, tables
from policies.tally import VoteStanding

queries = st.tuples(st.sampled_from(STANDINGS[:200]), st.none() | st.booleans())


@settings(max_examples=20, deadline=None)
@given(st.lists(queries, min_size=1, max_size=20))
def test_chances_of_which_answer_is_right_add_up(
    seen: list[tuple[VoteStanding, bool | None]],
) -> None:
    counts = VoteCounts()
    for where, right in seen:
        counts.observe(where, 50.0 * sum(where), right)
    mixture = fit_mixture(counts, prior_mixture(), FOR_CLASS)
    assert mixture.weights.sum() == pytest.approx(1)
    assert mixture.truth.sum(axis=1) == pytest.approx(np.ones(len(tables().mode)))
    assert (mixture.truth >= 0).all() and (mixture.right <= 1).all()


def test_where_the_mode_is_wrong_another_answer_is_right_more_often() -> None:
    counts = VoteCounts()
    for _ in range(40):
        counts.observe(VoteStanding(8, 2, 0), 500, False)
    prior, mixture = prior_mixture(), fit_mixture(counts, prior_mixture(), FOR_CLASS)
    likely = int(mixture.weights.argmax())
    assert mixture.truth[likely, MODE] < 0.5 * prior.truth[likely, MODE]
    assert mixture.truth[likely, SECOND] > 2 * prior.truth[likely, SECOND]


def test_what_is_all_forgotten_teaches_nothing() -> None:
    counts = VoteCounts()
    counts.observe(VoteStanding(2, 1, 0), 300, True)
    counts.scale(0.0)
    prior = prior_mixture()
    assert fit_mixture(counts, prior, FOR_CLASS) is prior
