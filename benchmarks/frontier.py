"""Tokens at equal accuracy, between families of settings, each at its best."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.goals import GoalResult, at_most

Floats = NDArray[np.float64]


class SettingMean(NamedTuple):
    """Means over the queries of one setting: share of right answers, and tokens a query."""

    accuracy: float
    tokens: float

    def worth(self, price: float) -> float:
        return self.accuracy - price * self.tokens


class Estimate(NamedTuple):
    """A figure with the 95 % interval of its bootstrap."""

    value: float
    low: float
    high: float


def figure(value: Estimate) -> str:
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


class Goal(NamedTuple):
    name: str
    estimate: Estimate
    goal: float

    @property
    def met(self) -> bool:
        return bool(self.estimate.value <= self.goal)

    def __str__(self) -> str:
        word = "met" if self.met else "missed"
        return f"{word:7}{figure(self.estimate):>24}, goal {self.goal:<5} {self.name}"

    def as_dict(self) -> GoalResult:
        _, low, high = (round(float(x), 4) if np.isfinite(x) else None for x in self.estimate)
        return at_most(self.estimate.value, self.goal) | {"low": low, "high": high}


def tokens_at(settings: Sequence[SettingMean], accuracy: float) -> float:
    """Fewest tokens at which the settings, or a mix of two of them, reach an accuracy."""
    reaching = [one for one in settings if one.accuracy >= accuracy]
    below = [one for one in settings if one.accuracy < accuracy]
    fewest = min((one.tokens for one in reaching), default=math.inf)
    for high in reaching:
        for low in below:
            part = (accuracy - low.accuracy) / (high.accuracy - low.accuracy)
            fewest = min(fewest, low.tokens + part * (high.tokens - low.tokens))
    return fewest


class QuerySample(NamedTuple):
    """Where the queries of a comparison come from: by query its class, question and seed."""

    classes: NDArray[np.int64]
    questions: NDArray[np.int64]
    seeds: NDArray[np.int64]


def weights(sample: QuerySample, replicates: int, rng: np.random.Generator) -> Floats:
    """By replicate and query; the first replicate is the sample itself.

    Seeds are drawn anew and, within every class, questions; each class has the same weight.
    """
    count = len(sample.seeds)
    drawn = np.ones((replicates, count))
    names, seeds = np.unique(sample.seeds, return_inverse=True)
    chances = np.full(len(names), 1 / len(names))
    drawn[1:] *= rng.multinomial(len(names), chances, replicates - 1)[:, seeds]
    for name in np.unique(sample.classes):
        here = sample.classes == name
        asked, places = np.unique(sample.questions[here], return_inverse=True)
        chances = np.full(len(asked), 1 / len(asked))
        drawn[1:, here] *= rng.multinomial(len(asked), chances, replicates - 1)[:, places]
        total = drawn[:, here].sum(axis=1, keepdims=True)
        drawn[:, here] /= np.maximum(total, 1e-12)
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))


def estimate(values: Sequence[float]) -> Estimate:
    """Of the first value, the others being its bootstrap replicates."""
    low, high = np.quantile(np.array(values[1:]), (0.025, 0.975), method="nearest")
    return Estimate(values[0], float(low), float(high))
