"""Observations that the tests of the curve book share."""

from policies.curves.observation import Observation
from policies.plan import Budget, Plan
from policies.tally import Ballot
from scheduler.curves.records import Seen

BUDGET = Budget(1000)
PRICE = 3e-4


def chain(
    *,
    query_class: str = "sums",
    right: bool = True,
    model: str = "m",
    length: int = 34,
    shadow: bool = True,
) -> Seen:
    """A greedy chain of one pass and a Wait."""
    history = (Ballot(0, "7", length + 6, length), Ballot(0, "7", 2 * length + 22, 2 * length, 1))
    plan = Plan("waits", BUDGET, 0.0, shadow=shadow)
    observation = Observation(query_class, history, BUDGET, 0.0, plan, {"7": right}, chance=0.75)
    return Seen(model, observation, PRICE)


def votes(*, query_class: str = "sums", answers: str = "778", model: str = "m") -> Seen:
    history = tuple(Ballot(number, a, 50, 44) for number, a in enumerate(answers))
    plan = Plan("votes", BUDGET, None, shadow=True)
    right = {answer: answer == "7" for answer in answers}
    observation = Observation(query_class, history, BUDGET, None, plan, right)
    return Seen(model, observation, PRICE)
