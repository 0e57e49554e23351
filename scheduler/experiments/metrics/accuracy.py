"""Accuracy and tokens of policies, and how two of them differ on the same questions."""

from dataclasses import dataclass

import numpy as np

from scheduler.experiments.metrics.bootstrap import (
    Estimate,
    interval,
    ratios,
    resampled,
    share,
    sign_flip_p,
)
from scheduler.experiments.metrics.table import ScoreTable


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """One policy. `answered` counts all seeds, `questions` each question once."""

    policy: str
    questions: int
    answered: int
    accuracy: Estimate
    tokens: Estimate
    seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """`a` against `b` on the questions that both were asked.

    `accuracy` is a's minus b's, `tokens` is the ratio of a's to b's; the p-values are of no
    difference.
    """

    a: str
    b: str
    questions: int
    accuracy: Estimate
    accuracy_p: float
    tokens: Estimate
    tokens_p: float


def summaries(table: ScoreTable) -> list[PolicySummary]:
    """One a policy that was asked anything, in the order of their tokens."""
    weights = resampled(len(table.questions))
    accuracy = ratios(weights, table.correct, table.asked)
    tokens = ratios(weights, table.tokens, table.asked)
    found = []
    for at, policy in enumerate(table.policies):
        if not (asked := table.asked[at].sum()):
            continue
        questions = int((table.asked[at] > 0).sum())
        right = float(table.correct[at].sum() / asked)
        found.append(
            PolicySummary(
                policy,
                questions,
                int(asked),
                share(right, accuracy[at], questions),
                interval(float(table.tokens[at].sum() / asked), tokens[at]),
                float(table.seconds[at].sum() / asked),
            )
        )
    return sorted(found, key=lambda each: each.tokens.value)


def compare(table: ScoreTable, a: str, b: str) -> Comparison:
    """Raises ValueError for a policy that is not there, or where no question is common."""
    one, other = table.place(a), table.place(b)
    common = (table.asked[one] > 0) & (table.asked[other] > 0)
    if not common.any():
        raise ValueError(f"{a} and {b} were asked no common question")
    asked = table.asked[:, common]
    right = table.correct[:, common] / np.maximum(asked, 1)
    tokens = table.tokens[:, common] / np.maximum(asked, 1)
    weights = resampled(int(common.sum()))
    each = np.ones(int(common.sum()))
    gained = right[one] - right[other]
    drawn = ratios(weights, gained, each)
    times = ratios(weights, tokens[one], tokens[other])
    spent = tokens[one].sum() / tokens[other].sum() if tokens[other].sum() else np.nan
    return Comparison(
        a,
        b,
        int(common.sum()),
        interval(float(gained.mean()), drawn),
        sign_flip_p(gained),
        interval(float(spent), times),
        sign_flip_p(tokens[one] - tokens[other]),
    )
