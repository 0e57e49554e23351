"""Measures what thinking longer, thinking shorter and voting do for s1-pocket, on vLLM.

Every accuracy comes with a standard error over questions.
"""

import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from training.pocket.forcer import Forcer, Question, Thinking, load_engine, read_questions
from training.pocket.make import MODEL, RECOMMENDED_TEMPERATURE
from training.pocket.picture import Curves, Point, plot

WAITS = 5
FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
BUDGETS = (16, 24, 32, 48, 64, 96)
VOTES = (1, 2, 4, 8, 16)
RESAMPLES = 32


def point(
    forcer: Forcer,
    setting: float,
    questions: Sequence[Question],
    thoughts: Sequence[Thinking],
) -> Point:
    answers = forcer.answers(questions, thoughts)
    right = [
        float(answer == question.answer)
        for answer, question in zip(answers, questions, strict=True)
    ]
    return summary(setting, right, fmean(len(thinking.tokens) for thinking in thoughts))


def summary(setting: float, scores: Sequence[float], tokens: float) -> Point:
    return Point(setting, fmean(scores), stdev(scores) / math.sqrt(len(scores)), tokens)


def wait_curve(
    forcer: Forcer, questions: Sequence[Question], natural: Sequence[Thinking]
) -> Iterator[Point]:
    thoughts = natural
    yield point(forcer, 0, questions, thoughts)
    for waits in range(1, WAITS + 1):
        thoughts = forcer.wait(questions, thoughts)
        yield point(forcer, waits, questions, thoughts)


def fraction_curve(
    forcer: Forcer, questions: Sequence[Question], natural: Sequence[Thinking]
) -> Iterator[Point]:
    for fraction in FRACTIONS:
        thoughts = [thinking.cut(int(fraction * len(thinking.tokens))) for thinking in natural]
        yield point(forcer, fraction, questions, thoughts)


def budget_curve(
    forcer: Forcer, questions: Sequence[Question], natural: Sequence[Thinking]
) -> Iterator[Point]:
    for budget in BUDGETS:
        yield point(forcer, budget, questions, [thinking.cut(budget) for thinking in natural])


def vote_curve(forcer: Forcer, questions: Sequence[Question]) -> Iterator[Point]:
    """Majorities of some of the samples, drawn anew many times; a tie is broken by lot."""
    most = max(VOTES)
    asked = [question for question in questions for _ in range(most)]
    thoughts = forcer.think(asked)
    answers = forcer.answers(asked, thoughts)
    samples = [answers[start : start + most] for start in range(0, len(answers), most)]
    tokens = fmean(len(thinking.tokens) for thinking in thoughts)
    truths = [question.answer for question in questions]
    rng = random.Random("votes")
    for votes in VOTES:
        scores = [
            fmean(majority(rng.sample(pool, votes), rng) == answer for _ in range(RESAMPLES))
            for answer, pool in zip(truths, samples, strict=True)
        ]
        yield summary(votes, scores, votes * tokens)


def majority(answers: Sequence[str], rng: random.Random) -> str:
    counts = Counter(answers)
    most = max(counts.values())
    return rng.choice([answer for answer, count in counts.items() if count == most])


def measure_class(llm: Any, questions: Sequence[Question]) -> Curves:
    greedy = Forcer(llm, 0.0)
    natural = greedy.think(questions)
    sampled = Forcer(llm, RECOMMENDED_TEMPERATURE)
    return {
        "greedy waits": list(wait_curve(greedy, questions, natural)),
        "greedy fractions": list(fraction_curve(greedy, questions, natural)),
        "greedy budgets": list(budget_curve(greedy, questions, natural)),
        "sampled waits": list(wait_curve(sampled, questions, sampled.think(questions))),
        "sampled votes": list(vote_curve(sampled, questions)),
    }


def table(curves: Curves) -> str:
    return "\n".join(
        f"  {name:18}"
        + "  ".join(
            f"{point.setting:g}: {point.accuracy:.3f}±{point.error:.3f} ({point.tokens:.0f})"
            for point in points
        )
        for name, points in curves.items()
    )


def main(
    model: Path = MODEL,
    *,
    questions: int = 300,
    out: Path = Path("pocket_curves.json"),
    picture: Path = Path("docs/pocket_curves.png"),
) -> None:
    llm = load_engine(model)
    classes: dict[str, Curves] = {}
    for name, asked in read_questions(model / "questions.jsonl", questions).items():
        classes[name] = measure_class(llm, asked)
        print(f"{name}\n{table(classes[name])}", flush=True)
    record = {
        name: {curve: [asdict(point) for point in points] for curve, points in curves.items()}
        for name, curves in classes.items()
    }
    out.write_text(json.dumps(record, indent=1) + "\n")
    plot(classes, picture)


if __name__ == "__main__":
    main()
