"""How long answers take: percentiles, in seconds or in tokens one after another."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Percentiles(NamedTuple):
    p50: float
    p90: float
    p99: float


def percentiles(values: Sequence[float]) -> Percentiles:
    """Raises ValueError where there are none."""
    if not len(values):
        raise ValueError("there are no values")
    return Percentiles(*(float(each) for each in np.percentile(values, (50, 90, 99))))
