"""Values against their goals: the last line that every benchmark prints.

The line is JSON: `{"name of a goal": {"value": 0.93, "goal": 0.9, "met": true}, ...}`. Missed goals
are in it too. A value that is infinite or not a number is written as null and misses its goal.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

GoalResult = dict[str, Any]


def at_least(value: float, goal: float) -> GoalResult:
    return _result(value, goal, value >= goal)


def at_most(value: float, goal: float) -> GoalResult:
    return _result(value, goal, value <= goal)


def not_measured(goal: float, reason: str) -> GoalResult:
    """A goal whose value could not be measured counts as missed."""
    return {"value": None, "goal": goal, "met": False, "reason": reason}


def _result(value: float, goal: float, met: bool) -> GoalResult:
    if not math.isfinite(value):
        return {"value": None, "goal": goal, "met": False}
    return {"value": round(float(value), 4), "goal": goal, "met": bool(met)}


def report(goals: Mapping[str, GoalResult]) -> None:
    """Print the goals as the one JSON line that ends a benchmark."""
    print(json.dumps(goals, allow_nan=False), flush=True)
