"""What `priced` tries though something else seems best, so that it does not stay wrong for ever.

A way to spend is tried as often as it is likely to be the best (Thompson, 1933), which shows what
it is worth; an exploration run goes past the best stop, and so shows what every earlier one would
have
given. Both become rarer as more is known, and fall on queries that bring their right answer before
all others: there they show whether it was reached, too.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from policies.curves.curve import ClassCurve
    from policies.curves.plan_table import Arm

NEGLIGIBLE = 0.01
"""Chance of being best below which an arm is not tried."""
MOST_TRIALS = 0.5
"""Share of queries that trials of other ways to spend get at most, however large `exploration`."""
RARER = 0.3
"""Share of queries that exploration runs get, and trials of more votes, once one has shown
something.
"""
GENEROUS = 4.0
"""So much cheaper are the tokens of a trial of more votes than pay by what is known."""
CHECKED = 0.9
"""Share of what is tried that falls on queries which bring their right answer, if enough do."""
OWN_LADDER = (1 / GENEROUS, 1.0)
"""Multiples of its price that one setting asks plan tables for."""


class PlanCandidate(NamedTuple):
    arm: "Arm"
    is_exploration: bool
    propensity: float


def choices(
    curve: "ClassCurve",
    arms: "Sequence[Arm]",
    price: float,
    *,
    exploration: float,
    checked: bool,
    votes_only: bool = False,
    aims: bool = False,
) -> list[PlanCandidate]:
    """Exploration runs of all arms that may be best, trials of the others, and the best.

    `arms` are best first; a `checked` query brings its right answer. Trials get a share of
    `exploration` at most, but for those of more votes, of which there are none where one `aims` at
    an accuracy: that asks for the cheapest plan. Where chains are best, their cap has no trials: it
    is known from them but for the answers of those that it cuts.
    """
    best, *others = arms
    chances = [(arm, arm.chance_over(best, price)) for arm in others]
    rivals = [(arm, chance) for arm, chance in chances if chance > NEGLIGIBLE]
    trials = [(arm, chance) for arm, chance in rivals if "votes" in (arm.name, best.name)]
    share, total = curve.referenced_share, sum(chance for _, chance in trials)
    part = checked_first(min(total, exploration, MOST_TRIALS), checked, share)
    trials = [(arm, chance * part / total) for arm, chance in trials]
    if not aims:
        more = _more_votes(curve, best, price)
        trials += [(arm, checked_first(chance, checked, share)) for arm, chance in more]
    is_exploration = (
        0.0 if votes_only and _cannot_pay(curve, price) else curiosity(curve.queries, exploration)
    )
    is_exploration = checked_first(is_exploration, checked, share)
    shown = [best, *(arm for arm, _ in rivals)]
    found = [PlanCandidate(arm, True, is_exploration / len(shown)) for arm in shown]
    found += [PlanCandidate(arm, False, (1 - is_exploration) * chance) for arm, chance in trials]
    left = 1.0 - sum(choice.propensity for choice in found)
    return [*found, PlanCandidate(best, False, left)]


def checked_first(chance: float, checked: bool, share: float) -> float:
    """The chance of trying something, larger on queries that bring their right answer.

    Over all queries, of which `share` bring it, it stays what it was.
    """
    if not 0 < share < CHECKED:
        return chance
    on_checked = max(chance, min(MOST_TRIALS, chance * CHECKED / share))
    return on_checked if checked else (chance - share * on_checked) / (1 - share)


def _more_votes(curve: "ClassCurve", best: "Arm", price: float) -> "list[tuple[Arm, float]]":
    """Votes by the rule of a lower price, and how often they are tried.

    The usual rule shows little of what the votes bring that it does not draw.
    """
    usual, votes = curve.plan_table(price).vote_rule, curve.votes
    if usual is None or votes is None:
        return []
    (more,) = (arm for arm in curve.plan_table(price / GENEROUS).arms if arm.name == "votes")
    tokens = more.forecast.tokens - usual.forecast.tokens
    if tokens <= 0:
        return []
    chance = more.chance_over(best, price)
    if best.name == "votes":
        gain = more.forecast.accuracy - usual.forecast.accuracy
        chance = votes.chance_of_gain(gain, price * tokens)
    return [(more, min(_rarer(votes.several), chance))] if chance > NEGLIGIBLE else []


def curiosity(queries: float, exploration: float) -> float:
    """Chance of an exploration run: less and less."""
    return min(exploration, _rarer(queries))


def _rarer(shown: float) -> float:
    """Share of queries for what so many have shown: falls with the square root."""
    return RARER / math.sqrt(max(1.0, shown))


def _cannot_pay(curve: "ClassCurve", price: float) -> bool:
    """Whether the two votes that it takes to outvote the first would not be worth their tokens.

    Even if all votes were worth a standard error more than it seems.
    """
    votes = curve.votes
    if votes is None:
        return False
    gain = votes.accuracy[-1] - votes.accuracy[0] + votes.interval(1).error
    return gain < 2 * price * votes.first_tokens
