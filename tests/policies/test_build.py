"""Policies are built by name, and mistakes are told with what was probably meant."""

import math
from dataclasses import fields
from typing import Any, cast

import pytest

from policies import POLICIES, build
from policies.fixed import Fixed
from policies.majority import Majority


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_builds_with_its_defaults_and_knows_its_name(name: str) -> None:
    assert build(name).name == name


def test_options_reach_the_policy() -> None:
    assert build("majority", samples=5) == Majority(5)
    assert build("fixed", extensions=2) == Fixed(extensions=2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, True])
@pytest.mark.parametrize("name", POLICIES)
def test_no_number_of_a_policy_may_be_nan_infinite_negative_or_a_bool(
    name: str, value: float
) -> None:
    policy = POLICIES[name]
    options = [field.name for field in fields(cast(Any, policy)) if "float" in str(field.type)]
    assert options
    for option in options:
        with pytest.raises(ValueError, match=option):
            policy(**{option: value})


def test_an_unknown_policy_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="'majorty'; did you mean 'majority'"):
        build("majorty")


def test_an_unknown_policy_unlike_any_lists_them() -> None:
    with pytest.raises(ValueError, match=", ".join(POLICIES)):
        build("zzz")


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="no option 'sample'; did you mean 'samples'"):
        build("majority", sample=5)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("majority", "samples", 0),
        ("majority", "samples", "many"),
        ("fixed", "extensions", -1),
        ("adaptive_consistency", "threshold", 0.3),
        ("adaptive_consistency", "threshold", "high"),
        ("priced", "price", 0),
        ("priced", "price", "cheap"),
        ("priced", "max_extensions", 99),
        ("priced", "exploration", 2.0),
    ],
)
def test_a_wrong_value_names_the_option_and_the_value(
    name: str, option: str, value: object
) -> None:
    with pytest.raises(ValueError) as caught:
        build(name, **{option: value})
    assert option in str(caught.value) and str(value) in str(caught.value)


def test_a_switch_is_true_or_false() -> None:
    assert build("fixed", harness_compat=True) == Fixed(harness_compat=True)
    with pytest.raises(ValueError, match="harness_compat must be true or false, got 1"):
        build("fixed", harness_compat=1)
