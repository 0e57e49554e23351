"""Goals are reported whether they are met or not, as JSON that every reader takes."""

import json
import math

import pytest

from benchmarks.goals import at_least, at_most, not_measured, report


def test_a_value_at_its_goal_meets_it() -> None:
    assert at_least(0.85, 0.85)["met"] and at_most(5, 5)["met"]
    assert not at_least(0.8499, 0.85)["met"] and not at_most(5.0001, 5)["met"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_finite_number_misses_its_goal(value: float) -> None:
    for result in (at_least(value, 1.0), at_most(value, 1.0)):
        assert result == {"value": None, "goal": 1.0, "met": False}


def test_the_report_is_one_line_with_missed_goals_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    report({"fast": at_least(2, 1), "slow": not_measured(0.85, "fast mode not reached")})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "fast": {"value": 2.0, "goal": 1, "met": True},
        "slow": {"value": None, "goal": 0.85, "met": False, "reason": "fast mode not reached"},
    }
