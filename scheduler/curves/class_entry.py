"""One class in the curve store: its counts, its curve, and when it is to be refitted."""

import math
from dataclasses import dataclass, field

from policies.curves.class_statistics import ClassStatistics
from policies.curves.curve import ClassCurve
from policies.curves.drift import DriftDetector

_PRICE_STEP = math.log(1.5)


@dataclass(slots=True)
class ClassEntry:
    """One class. `log_price` is the mean of late, where its tables are fitted."""

    statistics: ClassStatistics
    log_price: float
    drift: DriftDetector = field(default_factory=DriftDetector)
    used: int = 0
    curve: ClassCurve | None = None
    changed_at: int = 0
    unfitted: int = 0
    #: The curve as it goes to gateways, once one of them has got it.
    packed: bytes | None = None

    @property
    def is_due(self) -> bool:
        """Whether enough came in, or the price went elsewhere, since the last fit."""
        if self.curve is None or self.unfitted >= max(1.0, 0.1 * self.statistics.queries):
            return True
        return abs(self.log_price - math.log(self.curve.price)) > _PRICE_STEP

    @property
    def urgency(self) -> tuple[bool, float, float]:
        """The larger, the sooner it is to be fitted: without any curve, then by growth."""
        queries = self.statistics.queries
        return self.curve is None, self.unfitted / max(1.0, queries), queries
