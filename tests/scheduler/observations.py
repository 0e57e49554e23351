"""Observations that the tests of the curve store share."""

from policies.curves.observation import Observation
from policies.curves.plans.settings import ChainSetting
from policies.plan import Budget, Plan
from policies.tally import Vote
from scheduler.curves.records import ObservationRecord

BUDGET = Budget(1000)
PRICE = 3e-4


def chain(
    *,
    query_class: str = "sums",
    right: bool = True,
    model: str = "m",
    length: int = 34,
    is_exploration: bool = True,
) -> ObservationRecord:
    """A greedy chain of one pass and a Wait."""
    history = (
        Vote(0, "7", length + 6, length),
        Vote(0, "7", 2 * length + 22, 2 * length, 1, "extensions"),
    )
    setting = ChainSetting("extend", PRICE)
    plan = Plan("extend", BUDGET, 0.0, is_exploration=is_exploration, setting=setting)
    observation = Observation(query_class, history, BUDGET, 0.0, plan, {"7": right}, chance=0.75)
    return ObservationRecord(model, observation, PRICE)


def votes(
    *, query_class: str = "sums", answers: str = "778", model: str = "m"
) -> ObservationRecord:
    history = tuple(Vote(number, a, 50, 44) for number, a in enumerate(answers))
    plan = Plan("whole", BUDGET, None, is_exploration=True, setting=ChainSetting())
    right = {answer: answer == "7" for answer in answers}
    observation = Observation(query_class, history, BUDGET, None, plan, right)
    return ObservationRecord(model, observation, PRICE)
