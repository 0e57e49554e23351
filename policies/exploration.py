"""What is tried though something else seems best, and on which queries.

Trials fall on queries that bring their right answer before all others: there they show whether it
was reached, too.
"""

import math
from typing import TYPE_CHECKING

from policies.curves.exit_statistics import POSITIONS

if TYPE_CHECKING:
    from policies.curves.plans.curve import PlanCurve
    from policies.curves.plans.table import PlanOption

COLD_RUNS = 20
"""Exploration runs before a curve is trusted, those of the classes that it leans on among them."""
OWN_RUNS = 6
"""Exploration runs that a class needs itself."""
EXPLORATION_CHAINS = 4
SEVERAL = 0.25
"""Share of exploration runs with so many; the others have one."""
SEVERAL_OF_GREEDY = 0.5
"""The same where the others are greedy: they show nothing of votes."""
WHOLE_RUNS = 0.15
"""Share of later exploration runs that are extended as often as may be; others once more than pays.
"""
RATE = 2.0
"""After N queries exploration has taken as many tokens as 2 * RATE * sqrt(N) best plans, at most,
and those of the first COLD_RUNS."""
MOST_TRIALS = 0.5
"""Share of the queries that bring their right answer which trials get at most."""
CHECKED = 0.9
"""Share of what is tried that falls on queries which bring their right answer, if enough do."""
TRIALS = 0.05
GENEROUS = 4.0
"""So much cheaper are the tokens of votes that are tried."""


def is_cold(curve: "PlanCurve | None", *, under_way: int = 0, under_way_elsewhere: int = 0) -> bool:
    """Whether too little has been explored for a curve to be trusted, with what is under way."""
    own, elsewhere = (curve.explored, curve.explored_elsewhere) if curve else (0.0, 0.0)
    own, elsewhere = own + under_way, elsewhere + under_way_elsewhere
    return own < OWN_RUNS or own + elsewhere < COLD_RUNS


def share_of_several(greedy: bool) -> float:
    """Of exploration runs with several chains."""
    return SEVERAL_OF_GREEDY if greedy else SEVERAL


def chance_of_run(curve: "PlanCurve", best: "PlanOption", max_samples: int) -> float:
    """Of exploring: tokens for it are a share of what the best plan takes, less and less."""
    run = curve.to_end.tokens * (1 + SEVERAL * (min(EXPLORATION_CHAINS, max_samples) - 1))
    return RATE / math.sqrt(1 + curve.queries) * min(1.0, best.forecast.tokens / run)


def chance_of_trials(curve: "PlanCurve | None", share: float, trial_tokens: int) -> float:
    """Of asking a query that brings its right answer for trial answers that its plan does not need.

    `share` is that of such queries. All these trials together take a part `TRIALS` of the tokens.
    """
    if curve is None or not share:
        return 1.0
    length = max(1.0, curve.to_end.tokens)
    cost = trial_tokens * sum(place < length for place in POSITIONS) / length
    return min(1.0, TRIALS / (share * cost)) if cost else 1.0


def checked_first(chance: float, checked: bool, share: float) -> float:
    """The chance of trying something, larger on queries that bring their right answer.

    Over all queries, of which `share` bring it, it stays what it was.
    """
    if not 0 < share < CHECKED:
        return chance
    on_checked = max(chance, min(MOST_TRIALS, chance * CHECKED / share))
    return on_checked if checked else (chance - share * on_checked) / (1 - share)


def voting_rival(
    curve: "PlanCurve", best: "PlanOption", price: float
) -> "tuple[PlanOption, float] | None":
    """Votes that may be better than one greedy chain, and the chance that they are.

    Sampled chains vote, and greedy ones show nothing of them: what votes bring has to be tried as
    often as it is likely to be best (Thompson, 1933). The votes are those of a lower price, since
    too few show nothing of more.
    """
    offered = curve.table(price / GENEROUS).plans
    rival = next((plan for plan in offered if not plan.votes.is_one_vote), None)
    if rival is None:
        return None
    gap = best.forecast.net_value(price) - rival.forecast.net_value(price)
    return rival, math.erfc(gap / math.hypot(rival.error, best.error) / math.sqrt(2)) / 2
