"""Text that is no text and numbers that are none are refused wherever they are, by their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.api.wellformed import MOST_DEPTH, check
from scheduler.errors import InvalidRequest

HALF = "\ud83d"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"a": HALF}, "a"),
        ({"a": [{"b": "x" + HALF}]}, "a.0.b"),
        ({"a": {"b": {HALF: 1}}}, "a.b"),
        ({HALF: 1}, None),
        ({"a": [1, float("nan")]}, "a.1"),
        ({"a": float("-inf")}, "a"),
        ({"first": HALF, "second": HALF}, "first"),
    ],
)
def test_the_first_bad_value_is_refused_by_its_place(body: object, place: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check(body)
    assert refused.value.field == place
    refused.value.message.encode()


def test_what_is_nested_too_deeply_is_refused() -> None:
    body: object = 1
    for _ in range(MOST_DEPTH):
        body = [body]
    check(body)
    with pytest.raises(InvalidRequest, match="deep"):
        check([body])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)  # fmt: skip
def test_all_else_passes(body: object) -> None:
    check(body)


def test_zero_bytes_and_joined_emoji_are_text() -> None:
    check({"a": "\0 \u202e \u200d \U0001f468\u200d\U0001f469 \u2028"})
