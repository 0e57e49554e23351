"""A label that comes later than its query: only what it adds is counted, nothing twice."""

from dataclasses import replace

from policies.curves.accuracy_estimate import ServedCounts
from policies.curves.class_statistics import ClassStatistics
from policies.curves.observation import Observation


def learn(
    statistics: ClassStatistics, observation: Observation, *, answer: str, reward: float
) -> None:
    """Add the label of a query that was observed without one.

    `reward` is the part to which `answer` is right. If it is, the other answers are wrong; if it is
    wrong, nothing is known of them. Of votes that have been forgotten by now, the label is too.
    """
    if not 0 <= reward <= 1:
        raise ValueError(f"reward must be in [0, 1], got {reward!r}")
    right = {said: said == answer for said in observation.answers}
    blank = _observed(observation, {})
    statistics.labelled += 1.0
    for labels, weight in ((right, reward), ({answer: False}, 1 - reward)):
        labelled = _observed(observation, labels)
        statistics.plans.relabel(labelled.plans, blank.plans, weight)
        statistics.lengths.relabel(labelled.lengths, blank.lengths, weight)
        for plan, counts in labelled.served.items():
            served = statistics.served.setdefault(plan, ServedCounts())
            served.relabel(counts, blank.served[plan], weight)


def _observed(observation: Observation, right: dict[str, bool]) -> ClassStatistics:
    statistics = ClassStatistics()
    statistics.observe(replace(observation, right=right))
    return statistics
