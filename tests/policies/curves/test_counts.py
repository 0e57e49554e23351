"""Shares come with intervals that hold the truth."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.curves.counts import interval, shrink


@given(st.floats(0, 1), st.floats(0.1, 1e6))
def test_an_interval_holds_its_share_and_stays_in_range(share: float, weight: float) -> None:
    low, high = interval(share, weight)
    assert 0 <= low <= share + 1e-9 and share - 1e-9 <= high <= 1


def test_an_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng, covered = Random(3), 0
    for _ in range(1000):
        low, high = interval(sum(rng.random() < 0.8 for _ in range(40)) / 40, 40)
        covered += low <= 0.8 <= high
    assert 920 <= covered <= 985


def test_without_evidence_anything_is_possible() -> None:
    assert interval(0.3, 0) == (0.0, 1.0)


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0, 1))
def test_a_shrunk_share_lies_between_what_was_seen_and_what_is_usual(
    right: int, wrong: int, usual: float
) -> None:
    seen = right / (right + wrong) if right + wrong else usual
    share = shrink(right, right + wrong, usual, 4.0)
    assert min(seen, usual) - 1e-9 <= share <= max(seen, usual) + 1e-9


def test_a_share_without_trials_is_the_usual_one() -> None:
    assert shrink(0, 0, 0.7, 4.0) == pytest.approx(0.7)
