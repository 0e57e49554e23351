"""One figure against its goal, as the last line of a benchmark tells it."""

from typing import Any


def at_least(value: float, goal: float) -> dict[str, Any]:
    return {"value": round(value, 3), "goal": goal, "met": value >= goal}


def at_most(value: float, goal: float) -> dict[str, Any]:
    return {"value": round(value, 4), "goal": goal, "met": value <= goal}
