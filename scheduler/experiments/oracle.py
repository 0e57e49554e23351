"""What is known of a simulated population: the truth of its curves, and the best rule at a price.

The truth comes from questions of its own, so many of each class that it need not be estimated.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from policies.curves.extension_counts import MAX_EXTENSIONS, states
from policies.curves.length_curve import CAPS
from policies.tally import Tally, Vote
from scheduler.experiments.metrics.regret import Path, Rule, Step, best_rule
from scheduler.experiments.questions.load import FITTED
from workers.simulated.law import ANSWER_TOKENS, LAWS, Fate, fate, reference

QUESTIONS = 1000
VOTES = 16


class TruePoint(NamedTuple):
    """Mean tokens and accuracy of a setting: `x` extensions, votes, or thinking tokens at most."""

    kind: str
    x: int
    tokens: float
    accuracy: float


def knows(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether all questions are of the simulated population, whatever answered them."""
    return all(row["class"] in LAWS and _is_own(str(row["id"]), row) for row in rows)


def _is_own(name: str, row: Mapping[str, Any]) -> bool:
    if name.startswith(FITTED):
        return False
    return str(row["class"]) in name and row.get("reference") == reference(name)


@cache
def rule(query_class: str, price: float) -> Rule:
    """The best rule on a class at a price (probability of a right answer per token)."""
    return best_rule(_known(query_class), price)


@cache
def truth(query_class: str) -> tuple[TruePoint, ...]:
    """What extensions, votes and caps give on a class, by kind in the order of tokens."""
    known, points = _known(query_class), []
    for kind in ("extensions", "votes"):
        first = 1 if kind == "votes" else 0
        for place in range(len(known[0][kind])):
            points.append(_point(kind, place + first, [one[kind][place] for one in known]))
    for cap in CAPS:
        if (name := f"cap {cap}") in known[0]:
            points.append(_point("cap", cap, [one[name][0] for one in known]))
    return tuple(points)


def _point(kind: str, x: int, steps: list[Step]) -> TruePoint:
    count = len(steps)
    tokens = sum(step.tokens for step in steps) / count
    return TruePoint(kind, x, tokens, sum(step.right for step in steps) / count)


@cache
def _known(query_class: str) -> list[dict[str, Path]]:
    longest = 2 * LAWS[query_class].thinking_tokens
    caps = [cap for cap in CAPS if cap <= longest]
    return [_paths(f"{query_class} question of the oracle {n}", caps) for n in range(QUESTIONS)]


def _paths(question: str, caps: list[int]) -> dict[str, Path]:
    right = reference(question)
    greedy = fate(question, "greedy", extensions=MAX_EXTENSIONS, min_tokens=0, greedy=True)
    answers = [run.answer for run in greedy.passes]
    methods: dict[str, Path] = {"extensions": _extended(greedy, answers, right)}
    for extensions, run in enumerate(greedy.passes):
        # Decided beforehand: no answers in between.
        cost = run.end + ANSWER_TOKENS
        methods[f"{extensions} extensions"] = [Step(0, run.answer == right, cost)]
    votes = []
    for number in range(VOTES):
        one = fate(question, f"sampled {number}", extensions=0, min_tokens=0, greedy=False)
        votes.append(Vote(number, one.passes[0].answer, one.end + ANSWER_TOKENS, one.end))
    tallies = [Tally(tuple(votes[:n])) for n in range(1, VOTES + 1)]
    methods["votes"] = [Step(each.standing, each.leader == right, each.tokens) for each in tallies]
    first = greedy.passes[0]
    for cap in caps:
        answer = greedy.answer_at(cap) if cap < first.end else first.answer
        cost = min(cap, first.end) + ANSWER_TOKENS
        methods[f"cap {cap}"] = [Step(0, answer == right, cost)]
    return methods


def _extended(greedy: Fate, answers: list[str], right: str) -> Path:
    """One extension at a time, with an answer before each."""
    return [
        Step(state, answers[n] == right, greedy.passes[n].end + ANSWER_TOKENS * (n + 1))
        for n, state in enumerate(states(answers))
    ]
