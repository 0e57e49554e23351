"""The labelled outcomes of an A/B split: what the candidate brought more than the current policy.

Each labelled outcome gives one value whose mean is the difference: its reward r against what was
usual before, b, divided by the propensity of its arm, e: (r - b) / e for the candidate, and
-(r - b) / (1 - e) for the current policy. b depends on earlier outcomes only, so it changes the
spread and not the mean. Outcomes count in the order of their labels. Of a session the first one
counts: its queries went to one arm together. Labels must be as likely in both arms.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from policies.curves.arrays import Floats
from scheduler.experiments.metrics.confidence_sequence import Bounds, bounds, likely_needed
from scheduler.solving.outcome import read_outcomes
from scheduler.solving.outcome_log import LABELS


class LabelledOutcome(NamedTuple):
    """`time` is that of the label, in seconds; `reward` is 1 for right, 0 for wrong."""

    time: float
    unit: str
    is_candidate: bool
    propensity: float
    reward: float
    tokens: int


class ArmComparison(NamedTuple):
    """Candidate less current: of accuracy, or of accuracy less the price of tokens.

    `tokens` is the difference of mean tokens; `needed` is how many labelled outcomes there must
    likely be in all, None: there is no number that would likely do.
    """

    bounds: Bounds
    candidates: int
    tokens: float
    needed: int | None


def logs_of(path: Path) -> list[Path]:
    """A log with those that were set aside, the oldest first."""
    aside = [
        each
        for each in path.parent.glob(f"{path.name}.*")
        if each.suffix[1:].isdecimal() and each.stem == path.name
    ]
    aside.sort(key=lambda each: -int(each.suffix[1:]))
    return [*aside, *([path] if path.is_file() else [])]


def read_split(path: Path, split: str) -> list[LabelledOutcome]:
    """The labelled outcomes of a split, by an outcome log and the labels beside it.

    Raises ValueError that names a file that is none.
    """
    labels: dict[str, tuple[float, float]] = {}
    for line in _lines(logs_of(path.with_name(path.name + LABELS))):
        labels[line["id"]] = line["time"], float(line["reward"])
    if not (logs := logs_of(path)):
        raise ValueError(f"{path}: there is no such log of outcomes")
    found = []
    for line in _lines(logs):
        arm = line.get("arm")
        if not arm or arm["split"] != split:
            continue
        if line["correct"] is not None:
            label = line["time"], float(line["correct"])
        elif (later := labels.get(line["id"])) is not None:
            label = later
        else:
            continue
        found.append(
            LabelledOutcome(
                label[0],
                line["session"] or line["id"],
                arm["side"] == "candidate",
                arm["propensity"],
                label[1],
                line["tokens"]["total"],
            )
        )
    firsts: dict[str, LabelledOutcome] = {}
    for each in sorted(found, key=lambda one: one.time):
        firsts.setdefault(each.unit, each)
    return list(firsts.values())


def compare_arms(
    outcomes: Sequence[LabelledOutcome], margin: float, *, price: float = 0.0
) -> ArmComparison:
    """`price` is the accuracy that one token must buy: tokens worth a whole answer count as one."""
    rewards = np.array([each.reward - min(1.0, price * each.tokens) for each in outcomes])
    ours = np.array([each.is_candidate for each in outcomes], bool)
    chances = np.array([each.propensity for each in outcomes], float)
    # Rewards less the price are in [-1, 1]; the rarer arm has the largest values.
    rarest = float(np.minimum(chances, 1 - chances).min(initial=0.5))
    most = (2.0 if price else 1.0) / rarest
    usual: Floats = np.concatenate(
        [[0.5], (0.5 + np.cumsum(rewards)) / (1.0 + np.arange(1, len(rewards) + 1))]
    )[: len(rewards)]
    values = np.where(ours, 1.0, -1.0) * (rewards - usual) / chances
    tokens = np.array([each.tokens for each in outcomes], float)
    both = ours.any() and not ours.all()
    return ArmComparison(
        bounds(values, most=most),
        int(ours.sum()),
        float(tokens[ours].mean() - tokens[~ours].mean()) if both else float("nan"),
        likely_needed(values, margin, most=most),
    )


def _lines(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        try:
            yield from read_outcomes(path)
        except (OSError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: not a log of outcomes: {error}") from None
