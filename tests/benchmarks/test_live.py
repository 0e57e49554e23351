"""What the live comparison calls known beforehand: the best rules for what was answered."""

import numpy as np
import pytest

from benchmarks.live import FIXED, KNOWN_PRICES, LiveAnswer, known

EASY, HARD = ["4"] * 6, ["1", "2", "4", "4", "4", "4"]
"""Answers by Wait; "4" is right."""


def answers(extensions: list[str], *, votes_right: bool = False) -> list[LiveAnswer]:
    """What every fixed setting answered to one question: a Wait costs 300 tokens, an answer 5."""
    ends = {
        f"{w} extensions": LiveAnswer(given == "4", 300 * (w + 1) + 5, given, 5)
        for w, given in enumerate(extensions)
    }
    vote = {
        label: LiveAnswer(votes_right, 500, "4", 20) for label in FIXED if "extensions" not in label
    }
    return [(ends | vote)[label] for label in FIXED]


def test_rules_known_beforehand_wait_in_the_class_where_it_pays_and_while_it_pays() -> None:
    classes = ["easy", "hard"] * 10
    asked = [answers(EASY if name == "easy" else HARD) for name in classes]
    by_setting = [list(column) for column in zip(*asked, strict=True)]
    results = known(by_setting, classes)
    assert results.shape == (len(KNOWN_PRICES), 20, 2)
    cheap, dear = results[0], results[-1]
    easy = np.arange(20) % 2 == 0
    assert cheap[:, 0].all()
    assert cheap[easy, 1] == pytest.approx(305)
    assert cheap[~easy, 1] == pytest.approx(900 + 3 * 5)
    assert dear[:, 1] == pytest.approx(305) and not dear[~easy, 0].any()


def test_rules_known_beforehand_vote_where_only_votes_help() -> None:
    asked = [answers(["1"] * 6, votes_right=True)] * 4
    results = known([list(column) for column in zip(*asked, strict=True)], ["sum"] * 4)
    assert results[0].tolist() == [[1.0, 500.0]] * 4
