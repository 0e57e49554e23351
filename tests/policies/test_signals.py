"""What a policy may ask to hear is valid, or refused by its name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.signals import Confidence, Probing, Signals


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "at, every, paragraphs and extensions are all unset"),
        ({"every": 0}, "every"),
        ({"every": True}, "every"),
        ({"at": (3, 0)}, "at must be"),
        ({"paragraphs": True, "answer_tokens": 0}, "answer_tokens"),
        ({"paragraphs": True, "most": 0}, "most"),
    ],
)
def test_probing_names_what_is_wrong(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Probing(**fields)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"top": 0}, "top"),
        ({"window": 0}, "window"),
        ({"end_below": float("nan")}, "end_below .* nan"),
        ({"end_below": float("inf")}, "end_below .* inf"),
    ],
)
def test_signals_name_what_is_wrong(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Signals(**fields)


@given(
    at=st.lists(st.integers(1, 60)).map(tuple),
    every=st.none() | st.integers(1, 60),
    paragraphs=st.booleans(),
    extensions=st.integers(0, 5),
    thinking=st.integers(0, 60),
    most=st.integers(1, 80),
)
def test_no_chain_has_more_trials_than_foretold(
    at: tuple[int, ...],
    every: int | None,
    paragraphs: bool,
    extensions: int,
    thinking: int,
    most: int,
) -> None:
    probing = Probing(at, every, paragraphs, extensions=True, most=most)
    points = {n for n in at if n <= thinking} | set(range(1, extensions + 1))
    points |= set(range(1, thinking + 1)) if paragraphs else set()
    points |= set(range(every, thinking + 1, every)) if every else set()
    assert min(most, len(points)) <= probing.most_trials(thinking, extensions) <= most


def test_a_confidence_is_read_by_its_measure() -> None:
    sure = Confidence(mean=3.0, lowest=1.0, tail=2.0)
    assert (sure.of("mean"), sure.of("lowest"), sure.of("tail")) == (3.0, 1.0, 2.0)
