"""Regret: the value that a policy loses against the best rule of one who knows the population.

The value of an answer is its accuracy less the price of its tokens. The rules come by backward
induction from paths: all that a method would have given on questions whose chains are known.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from policies.curves.arrays import Floats
from scheduler.experiments.metrics.bootstrap import Estimate, interval, ratios, resampled


class Step(NamedTuple):
    """One answer of a method; `tokens` is what all up to here has cost."""

    state: Hashable
    right: bool
    tokens: int


Path = Sequence[Step]


class Rule(NamedTuple):
    """The states of one method in which going on pays, and what that is worth on average."""

    method: str
    continues: frozenset[Hashable]
    value: float

    def follow(self, path: Path) -> Step:
        return next((step for step in path if step.state not in self.continues), path[-1])


def best_rule(known: Sequence[Mapping[str, Path]], price: float) -> Rule:
    """The best method and when to stop with it; `known` is by question, then by method."""
    rules = (_rule(method, [one[method] for one in known], price) for method in known[0])
    return max(rules, key=lambda rule: rule.value)


def regret(
    rows: Iterable[Mapping[str, Any]], best: Mapping[str, float], price: float
) -> dict[str, Estimate]:
    """By policy, points of accuracy lost per question: its class's `best` value less its own.

    The interval resamples questions; the seeds of one are one unit. Rows without a grade are left
    out. Raises KeyError for a class that `best` does not have.
    """
    graded = [row for row in rows if row["correct"] is not None]
    policies = list(dict.fromkeys(row["policy"] for row in graded))
    questions = {row["id"]: 0 for row in graded}
    places = {name: place for place, name in enumerate(questions)}
    lost = np.zeros((len(policies), len(questions)))
    asked: Floats = np.zeros_like(lost)
    for row in graded:
        at = policies.index(row["policy"]), places[row["id"]]
        lost[at] += 100 * (best[row["class"]] - row["correct"] + price * row["tokens"])
        asked[at] += 1
    drawn = ratios(resampled(len(questions)), lost, asked) if graded else lost
    return {
        policy: interval(float(lost[at].sum() / asked[at].sum()), drawn[at])
        for at, policy in enumerate(policies)
    }


def _rule(method: str, taken: Sequence[Path], price: float) -> Rule:
    """Backward induction: what each state is worth is the mean over the paths that came by it."""
    worth = [path[-1].right - price * path[-1].tokens for path in taken]
    continues = set()
    for depth in reversed(range(len(taken[0]))):
        by_state = defaultdict(list)
        for place, path in enumerate(taken):
            by_state[path[depth].state].append(place)
        for state, places in by_state.items():
            stops = [taken[p][depth].right - price * taken[p][depth].tokens for p in places]
            if depth + 1 < len(taken[0]) and sum(worth[p] for p in places) > sum(stops):
                continues.add(state)
                continue
            for place, value in zip(places, stops, strict=True):
                worth[place] = value
    return Rule(method, frozenset(continues), sum(worth) / len(worth))
