"""A live answer reads in the end as the whole one, and never shows a part of a stop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.api.stop_sequences import StopSequenceFilter
from workers.forcing.answer_stop import cut

# Few letters, so that stops begin, break off and overlap.
TEXT = st.text("ab \n", max_size=20)
STOPS = st.lists(st.text("ab \n", min_size=1, max_size=4), max_size=4)


@pytest.mark.parametrize(
    ("text", "stops", "shown"),
    [
        ("hello", [], "hello"),
        ("hello", ["l"], "he"),
        ("hello", ["lo", "ell"], "h"),
        ("abcd", ["abcd", "bc"], "a"),  # "bc" is complete first
        ("abc", ["c", "bc"], "a"),  # both at once: the longer one
        ("hello", ["x"], "hello"),
    ],
)
def test_a_text_ends_before_the_stop_that_is_complete_first(
    text: str, stops: list[str], shown: str
) -> None:
    assert cut(text, stops) == shown


@given(pieces=st.lists(TEXT, max_size=8), stops=STOPS)
def test_pieces_add_up_to_the_whole_text(pieces: list[str], stops: list[str]) -> None:
    live = StopSequenceFilter(stops)
    told = "".join(live.feed(piece) for piece in pieces)
    whole = cut("".join(pieces).strip(), stops)
    assert whole.startswith(told)
    assert told + live.close(whole) == whole


def test_only_what_may_be_a_stop_is_held_back() -> None:
    live = StopSequenceFilter(["END"])
    assert [live.feed(piece) for piece in ("  one", " E", "N", "D two", "three")] == [
        "one", "", "", "", "",
    ]  # fmt: skip
    assert live.close("one ") == " "
    live = StopSequenceFilter(["END"])
    assert [live.feed(piece) for piece in ("E", "NT", " ", "x")] == ["", "ENT", "", " x"]
