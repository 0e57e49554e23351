"""What a whole job will take and reach, by a sample of its queries and by the curves learned there.

A mean over the sample stands for the mean over the job; its interval is Student's, made narrower by
the share of the job that the sample is. What a budget reaches is read off the plan tables of the
classes: at each price every class takes its best plan, and prices are compared by what they cost.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scipy.stats import t as student

from policies.curves.curve import ClassCurve
from policies.plan import Forecast


class Expected(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def times(self, factor: float) -> "Expected":
        return Expected(self.mean * factor, self.low * factor, self.high * factor)


def expected(values: Sequence[float], population: int) -> Expected | None:
    """The mean over a population of so many, of which `values` are a sample; None of none."""
    count = len(values)
    if not count:
        return None
    mean = math.fsum(values) / count
    if count >= population:
        return Expected(mean, mean, mean)
    if count == 1:
        return Expected(mean, -math.inf, math.inf)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    rest = 1 - count / population
    reach = float(student.ppf(0.975, count - 1)) * math.sqrt(variance / count * rest)
    return Expected(mean, mean - reach, mean + reach)


def at_price(
    curves: Mapping[str, ClassCurve], shares: Mapping[str, float], price: float
) -> Forecast | None:
    """Accuracy and tokens of a mean query, each class by its best plan at this price.

    `shares` of the classes add up to 1. None where a class has no curve yet.
    """
    accuracy = tokens = 0.0
    for name, share in shares.items():
        curve = curves.get(name)
        plans = curve.plan_table(price).plans if curve else ()
        if not plans:
            return None
        best = max(plans, key=lambda plan: plan.forecast.net_value(price))
        accuracy += share * best.forecast.accuracy
        tokens += share * best.forecast.tokens
    return Forecast(accuracy, tokens)


def ladder(curves: Mapping[str, ClassCurve]) -> list[float]:
    """The prices that the curves have tables for, the highest first."""
    tables = (table for curve in curves.values() if curve.plans for table in curve.plans.tables)
    return sorted({table.price for table in tables}, reverse=True)


def reached_by(
    curves: Mapping[str, ClassCurve], shares: Mapping[str, float], tokens_per_query: float
) -> Forecast | None:
    """The most accurate of the priced ways that take so many tokens at most; None if none does."""
    found = [at_price(curves, shares, price) for price in ladder(curves)]
    fitting = [each for each in found if each is not None and each.tokens <= tokens_per_query]
    return max(fitting, key=lambda each: each.accuracy, default=None)
