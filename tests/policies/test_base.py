"""Budgets and limits are valid or are refused with the name of what is wrong."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policies.base import Draw, Limits, Query, Situation
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan, check_int
from policies.tally import Tally

tokens = st.integers(-10, 4000)


@given(tokens, tokens, tokens, tokens)
def test_a_budget_is_accepted_exactly_when_its_numbers_make_sense(
    most: int, least: int, extensions: int, answer: int
) -> None:
    valid = 0 <= least <= most and 0 <= extensions <= 1000 and answer >= 1
    valid &= not extensions or least < most
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
        check_int("samples", value)


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


@pytest.mark.parametrize("text", ["", "x" * 1001, "\ud800", 7])
def test_an_extension_text_must_be_one(text: str) -> None:
    with pytest.raises(ValueError, match="extension_text"):
        Budget(10, extension_text=text)


def test_the_papers_own_loops_may_extend_with_nothing() -> None:
    assert Budget(10, extension_text="", harness_compat=True).compat
    assert Budget(10, extension_text="", readme_compat=True).compat


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"harness_compat": True, "readme_compat": True}, "harness_compat and readme_compat"),
        ({"harness_compat": True, "answer_when_cut": False}, "answer_when_cut=False"),
        ({"readme_compat": True, "answer_when_cut": False}, "answer_when_cut=False"),
        ({"min_thinking_tokens": 10, "extensions": 2}, "extensions is 2, .* both 10"),
    ],
)
def test_a_budget_that_contradicts_itself_is_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Budget(10, **fields)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 3), st.integers(0, 60))
def test_a_capped_budget_is_valid_and_gives_up_as_little_as_it_can(
    most: int, least: int, extensions: int, cap: int
) -> None:
    assume(least < most or (least == most and not extensions))
    budget = Budget(most, least, extensions)
    capped = budget.capped(cap)
    assert capped.max_thinking_tokens == min(most, cap)
    assert capped.extensions == (extensions if min(most, cap) else 0)
    assert min(least, cap) - capped.min_thinking_tokens in (0, 1)
    if least < cap or not extensions:
        assert capped.min_thinking_tokens == min(least, cap)


def test_the_papers_evaluation_code_pays_every_round_in_full() -> None:
    assert Budget(100, extensions=2, answer_tokens=10).most_tokens == 110
    assert Budget(100, extensions=2, answer_tokens=10, harness_compat=True).most_tokens == 310


def test_a_draw_needs_a_sample() -> None:
    with pytest.raises(ValueError, match="samples"):
        Draw(0, Budget(10))


@given(st.none() | st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 3000))
def test_a_situations_budget_fits_its_context(cap: int | None, least: int, room: int) -> None:
    situation = Situation(Query("q", ()), Tally(), room)
    for extensions in (0, 2):
        assume(cap is None or least < cap or (least == cap and not extensions))
        budget = situation.budget(cap, min_thinking_tokens=least, extensions=extensions)
        assert budget == Budget.within(
            cap, min_thinking_tokens=least, extensions=extensions
        ).capped(room)
        assert budget.max_thinking_tokens == (room if cap is None else min(cap, room))
        assert budget.min_thinking_tokens <= budget.max_thinking_tokens


@pytest.mark.parametrize(
    ("setting", "later"),
    [
        (ChainSetting("whole"), ChainSetting("extend", 0.001)),
        (ChainSetting("forced", 2), ChainSetting("extend", 0.001)),
        (ChainSetting("extend", 0.004, tried=True), ChainSetting("extend", 0.001, tried=True)),
        (ChainSetting("exit", 0.004, tried=True), ChainSetting("exit", 0.001, tried=True)),
    ],
)
def test_a_chain_may_be_extended_at_a_lower_price_also_if_it_was_forced_on(
    setting: ChainSetting, later: ChainSetting
) -> None:
    plan = Plan("a", Budget(1000, extensions=setting.forced), 0.0, price=0.004, setting=setting)
    resumed = plan.resumed(0.001)
    assert (resumed.setting, resumed.price) == (later, 0.001)
    assert resumed.budget == Budget(1000)
    again = resumed.resumed(0.0005)
    assert again.setting == later.at(0.5) and again.price == 0.0005


def test_an_exploration_run_is_gone_on_with_as_any_other() -> None:
    setting = ChainSetting("extend", 4, tried=True)
    plan = Plan("extend", Budget(1000), is_exploration=True, price=0.004, setting=setting)
    resumed = plan.resumed(0.001)
    assert resumed.setting == ChainSetting("extend", 0.001, tried=True)
    assert not resumed.is_exploration
