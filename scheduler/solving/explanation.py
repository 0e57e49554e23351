"""Why a query got its plan, in one sentence that names the figures it was decided by."""

from policies.plan import Forecast
from scheduler.solving.decision_inputs import Alternative
from scheduler.solving.outcome import Outcome

LEAST_GAIN = 5e-4
"""Accuracy that a vote must bring to be told."""


def explain(outcome: Outcome, *, reads_curves: bool) -> str:
    """The reason for the plan: its worth and that of the next best one, at the query's price.

    The worth of a plan is its accuracy less the price of its tokens, in points (hundredths).
    `reads_curves` is what the policy declares (`PolicyOptions`).
    """
    plan, offers = outcome.plan, outcome.considered.alternatives
    if plan is None:
        return "No plan: the query ended before its first decision."
    name = plan.name if plan.setting is None else str(plan.setting)
    if plan.is_exploration:
        return f"Exploration run of {name}: it is chosen at random, to keep the curves right."
    price = outcome.price / outcome.query.limits.value
    # By its own forecast: a plan of another price may be served, where a target accuracy decided.
    name = next((each.name for each in offers if each.forecast == plan.forecast), name)
    offered = Alternative(name, plan.forecast, 0.0) if plan.forecast else None
    if offered is None:
        if reads_curves and (plan.setting is not None or not outcome.considered.queries):
            return "The class has no curve yet: its first queries are used to learn it."
        return f"Policy {outcome.policy} decides without the curves."
    others = [each for each in offers if each.name != name]
    if not others:
        said = _said(offered, price)
        return f"{said}. The curve has no other kind of plan yet.{_last_step(outcome, price)}"
    other = max(others, key=lambda each: each.forecast.net_value(price))
    why = (
        ""
        if offered.forecast.net_value(price) >= other.forecast.net_value(price)
        else _why_not(outcome)
    )
    return f"{_said(offered, price)}. Next: {_said(other, price)}.{why}{_last_step(outcome, price)}"


def _said(plan: Alternative, price: float) -> str:
    accuracy, tokens = plan.forecast
    worth = 100 * plan.forecast.net_value(price)
    return f"{plan.name} {accuracy:.1%} for {tokens:.0f} tokens, worth {worth:.1f} points"


def _last_step(outcome: Outcome, price: float) -> str:
    """Why the chain was extended no further, or no more chains were drawn."""
    considered = outcome.considered
    if at := considered.next_extension:
        by = ", by the tail confidence of its thinking, too" if at.by_confidence else ""
        number = f"{at.extensions} extension{'s' if at.extensions > 1 else ''}"
        after = f" After {number} its" if at.extensions else " Its"
        said = f"{after} answer is right with a chance of {at.chance:.0%}{by}"
        return f"{said}: one more extension {_brings(at.forecast, price)}"
    if considered.next_vote is None:
        return ""
    chains = {record.sample.chain: record.sample.answer for record in outcome.records}
    agree = sum(answer == outcome.answer for answer in chains.values())
    said = f" {agree} of {len(chains)} chains agree"
    if considered.next_vote.accuracy < LEAST_GAIN:
        return f"{said}: one more cannot change the answer."
    return f"{said}: one more {_brings(considered.next_vote, price)}"


def _brings(more: Forecast, price: float) -> str:
    return (
        f"would bring {100 * more.accuracy:.1f} points for {more.tokens:.0f} tokens, "
        f"and the price asks for {100 * price * more.tokens:.1f}."
    )


def _why_not(outcome: Outcome) -> str:
    """Why it was not the plan with the highest worth."""
    limits = outcome.query.limits
    if limits.target_accuracy is not None:
        return f" The target accuracy of {limits.target_accuracy:.0%} decided."
    if limits.max_total_tokens is not None or limits.max_thinking_tokens is not None:
        return " The query's limits decided."
    return " They are too close to tell apart."
