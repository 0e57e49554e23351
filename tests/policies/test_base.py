"""Budgets and limits are valid or are refused with the name of what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.base import Draw, Limits, Query, Situation
from policies.plan import Budget, whole
from policies.tally import Tally

tokens = st.integers(-10, 4000)


@given(tokens, tokens, tokens, tokens)
def test_a_budget_is_accepted_exactly_when_its_numbers_make_sense(
    most: int, least: int, extensions: int, answer: int
) -> None:
    valid = 0 <= least <= most and 0 <= extensions <= 1000 and answer >= 1
    try:
        budget = Budget(most, least, extensions, None, answer)
    except ValueError as error:
        assert not valid
        assert any(word in str(error) for word in ("tokens", "extensions"))
    else:
        assert valid
        assert budget.most_tokens == most + answer


@pytest.mark.parametrize("value", [True, 1.5, "3", None])
def test_only_a_whole_number_is_a_whole_number(value: object) -> None:
    with pytest.raises(ValueError, match="samples must be a whole number"):
        whole("samples", value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_total_tokens", 0),
        ("deadline_seconds", 0.0),
        ("target_accuracy", 1.5),
        ("value", 0.0),
    ],
)
def test_limits_name_the_field_that_is_wrong(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Limits(**{field: value})  # type: ignore[arg-type]


def test_an_extension_text_must_not_be_empty() -> None:
    with pytest.raises(ValueError, match="extension_text"):
        Budget(10, extension_text="")


def test_a_draw_needs_a_sample() -> None:
    with pytest.raises(ValueError, match="samples"):
        Draw(0, Budget(10))


@given(st.none() | st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 3000))
def test_a_situations_budget_fits_its_context(cap: int | None, least: int, room: int) -> None:
    situation = Situation(Query("q", ()), Tally(), room)
    budget = situation.budget(cap, min_thinking_tokens=least)
    assert budget.max_thinking_tokens <= room
    assert budget.min_thinking_tokens <= budget.max_thinking_tokens
