"""Whether predicted accuracy comes true: scores, and a table of predictions against outcomes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from policies.curves.arrays import Floats


class CalibrationBin(NamedTuple):
    """Answers of like predictions: mean prediction, and share of right answers."""

    answers: int
    predicted: float
    right: float


class Calibration(NamedTuple):
    """`brier` is the mean squared error (0.25 for a coin), `log_loss` is in nats, `error` is the
    mean distance of prediction and outcome over the bins (expected calibration error).
    """

    answers: int
    brier: float
    log_loss: float
    error: float
    bins: tuple[CalibrationBin, ...]


def calibration(predicted: Sequence[float], right: Sequence[bool], bins: int = 10) -> Calibration:
    """Bins hold as many answers each. Raises ValueError where there are no predictions."""
    if not len(predicted):
        raise ValueError("there are no predictions")
    chance: Floats = np.asarray(predicted, dtype=np.float64)
    came: Floats = np.asarray(right, dtype=np.float64)
    order = np.argsort(chance, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    found = tuple(
        CalibrationBin(len(part), float(chance[part].mean()), float(came[part].mean()))
        for part in parts
    )
    surely = np.clip(chance, 1e-6, 1 - 1e-6)
    return Calibration(
        len(chance),
        float(np.mean((chance - came) ** 2)),
        float(-np.mean(came * np.log(surely) + (1 - came) * np.log1p(-surely))),
        sum(each.answers * abs(each.predicted - each.right) for each in found) / len(chance),
        found,
    )
