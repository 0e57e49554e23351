"""A curve store in small, for benchmarks that play thousands of queries under one price."""

from collections import defaultdict

from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import ClassCurve, fit
from policies.curves.observation import Observation


class VoteLearner:
    """Refits a class when a tenth has come in; a class leans on the others.

    Only one price is ever asked, so plan tables are made for that one.
    """

    def __init__(self, price: float, round_tokens: float = 0.0) -> None:
        self._price, self._round_tokens = price, round_tokens
        self._known: dict[str, ClassStatistics] = defaultdict(ClassStatistics)
        self._unfitted: dict[str, int] = defaultdict(int)
        self.curves: dict[str, ClassCurve] = {}

    def observe(self, observation: Observation) -> None:
        statistics_of_class = self._known[observation.query_class]
        statistics_of_class.observe(observation)
        self._unfitted[observation.query_class] += 1
        if self._unfitted[observation.query_class] < 0.1 * statistics_of_class.queries:
            return
        self._unfitted[observation.query_class] = 0
        others = ClassStatistics()
        for statistics in self._known.values():
            if statistics is not statistics_of_class:
                others.merge(statistics)
        self.curves[observation.query_class] = fit(
            statistics_of_class,
            parent=others,
            price=self._price,
            round_tokens=self._round_tokens,
            ladder=(1.0,),
        )
