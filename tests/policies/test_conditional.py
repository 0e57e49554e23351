"""A wish for a length goes to the end of the question, and may be forced as well."""

from random import Random
from typing import Any

import pytest

from policies import build
from policies.base import Draw, Policy, Query, Situation, Stop
from policies.plan import Budget
from policies.tally import Tally, Vote

SITUATION = Situation(Query("q", ()), Tally(), max_thinking_tokens=5000)


def draw(policy: Policy) -> Draw:
    decision = policy.decide(SITUATION, Random(0))
    assert isinstance(decision, Draw)
    return decision


@pytest.mark.parametrize(
    ("name", "options", "suffix"),
    [
        ("token_conditional", {"tokens": 4096}, "\n\nThink for up to 4096 tokens."),
        ("step_conditional", {"steps": 32}, "\n\nThink for up to 32 steps."),
    ],
)
def test_the_question_ends_with_the_papers_words(
    name: str, options: dict[str, Any], suffix: str
) -> None:
    asked = draw(build(name, **options))
    assert asked == Draw(1, Budget(5000), 0.0, final=True, suffix=suffix)


def test_a_class_is_wished_for_in_words_too() -> None:
    short = draw(build("class_conditional", length="short")).suffix
    long = draw(build("class_conditional", length="long")).suffix
    assert short.startswith("\n\nAnswer after a short amount of thinking.")
    assert long.startswith("\n\nAnswer after a long amount of thinking.")


@pytest.mark.parametrize(
    ("name", "options", "cap"),
    [
        ("token_conditional", {"tokens": 1024, "forced": True}, 1024),
        ("token_conditional", {"tokens": 9000, "forced": True}, 5000),
        ("token_conditional", {"tokens": 9, "forced": True, "max_thinking_tokens": 5}, 5),
        ("token_conditional", {"tokens": 9, "max_thinking_tokens": 50}, 50),
        ("step_conditional", {"steps": 16, "forced": True}, 1600),
    ],
)
def test_a_forced_wish_is_the_cap_as_well(name: str, options: dict[str, Any], cap: int) -> None:
    assert draw(build(name, **options)).budget.max_thinking_tokens == cap


@pytest.mark.parametrize("name", ["token_conditional", "step_conditional", "class_conditional"])
def test_one_chain_is_all(name: str) -> None:
    done = Situation(Query("q", ()), Tally((Vote(0, "a", 10, 8),)), 500)
    assert build(name).decide(done, Random(0)) == Stop("plan done")


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("token_conditional", "tokens", 0),
        ("token_conditional", "forced", 1),
        ("step_conditional", "steps", 2**30),
        ("class_conditional", "length", "medium"),
        ("class_conditional", "length", 3),
        ("class_conditional", "temperature", 3.0),
    ],
)
def test_a_wrong_option_is_named_with_its_value(name: str, option: str, value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        build(name, **{option: value})
    assert option in str(caught.value) and str(value) in str(caught.value)
