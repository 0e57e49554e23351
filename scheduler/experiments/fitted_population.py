"""A simulated population that stands for a model: its laws, fitted to recorded chains.

Moments are matched class by class: what the greedy chain gives, how often an extension repairs or
breaks it, how often a sampled chain is right, how often two of a question agree, and mean lengths.
What a law cannot say (a question's own hardness beyond its mode, chances that change from one
extension to the next) is lost.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scheduler.experiments.grading import Known
from workers.replayed import CUT_SHORT
from workers.simulated.law import Law

_OTHER_DIGITS = 9


@dataclass(slots=True)
class _Class:
    """What was counted over the recorded chains of one class."""

    greedy: Counter[bool] = field(default_factory=Counter)
    steps: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    sampled: Counter[bool] = field(default_factory=Counter)
    pairs: Counter[bool] = field(default_factory=Counter)
    thinking: list[int] = field(default_factory=list)
    extensions: list[int] = field(default_factory=list)

    def count(self, samples: Iterable[tuple[dict[str, Any], bool]]) -> None:
        """The samples of one question, and whether each is right.

        All greedy ones are of one chain, however far each went.
        """
        votes: Counter[str | None] = Counter()
        rounds: dict[int, tuple[int, bool]] = {}
        for sample, right in samples:
            tokens, extensions = sample["thinking_tokens"], sample["extensions"]
            if sample["temperature"] == 0:
                rounds.setdefault(extensions, (tokens, right))
            elif not extensions:
                self.thinking.append(tokens)
                self.sampled[right] += 1
                votes[sample["answer"]] += 1
        for extensions, (tokens, right) in rounds.items():
            if not extensions:
                self.thinking.append(tokens)
                self.greedy[right] += 1
            if (before := rounds.get(extensions - 1)) is not None:
                self.steps[before[1], right] += 1
                self.extensions.append(tokens - before[0])
        drawn = votes.total()
        agreeing = sum(votes[answer] * (votes[answer] - 1) for answer in votes)
        self.pairs[True] += agreeing
        self.pairs[False] += drawn * (drawn - 1) - agreeing

    def law(self, name: str) -> Law:
        for what, there in (("greedy", self.greedy), ("sampled", self.sampled)):
            if not there:
                raise ValueError(
                    f"the recording has no {what} chain of class {name!r}; a population is fitted "
                    "to what `thinkbudget collect` records"
                )
        mass = _mode_mass(_share(self.pairs, True, default=1.0))
        other = (1 - mass) / _OTHER_DIGITS
        right = _share(self.sampled, True)
        solvable = (right - other) / (mass - other) if mass > other else right
        return Law(
            accuracy=_share(self.greedy, True),
            repair=_chance(self.steps, was=False, now=True),
            corruption=_chance(self.steps, was=True, now=False),
            solvable=min(1.0, max(0.0, solvable)),
            mode_mass=mass,
            thinking_tokens=_mean(self.thinking),
            extension_tokens=_mean(self.extensions or self.thinking),
        )


def fitted(recorded: Iterable[Mapping[str, Any]], known: Known) -> dict[str, Law]:
    """A law for each class of a recording with greedy and sampled chains; `known` are its grades.

    Raises ValueError that names the class where chains are missing.
    """
    questions: dict[tuple[str, str], list[tuple[dict[str, Any], bool]]] = {}
    for line in recorded:
        if line.get("reference") is None:
            continue
        key = (str(line.get("class", "default")), line["question"])
        questions.setdefault(key, []).extend(
            (sample, known.get((sample["answer"], line["reference"]), False))
            for sample in line["samples"]
            if sample["stop_cause"] not in CUT_SHORT
        )
    classes: dict[str, _Class] = {}
    for (name, _), samples in questions.items():
        classes.setdefault(name, _Class()).count(samples)
    return {name: counted.law(name) for name, counted in classes.items()}


def _mode_mass(agreement: float) -> float:
    """The share m of the mode where two chains agree so often: m^2 + (1 - m)^2 / 9."""
    root = math.sqrt(max(0.0, 10 * agreement - 1))
    return min(1.0, (1 + 3 * root) / 10)


def _share(counts: Counter[bool], what: bool, default: float = 0.0) -> float:
    return counts[what] / counts.total() if counts.total() else default


def _chance(steps: Counter[tuple[bool, bool]], *, was: bool, now: bool) -> float:
    met = steps[was, True] + steps[was, False]
    return steps[was, now] / met if met else 0.0


def _mean(lengths: list[int]) -> int:
    return max(1, round(sum(lengths) / len(lengths)))
