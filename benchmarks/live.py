"""A policy that learns against fixed settings, live: the embedded model on real vLLM, over HTTP.

Every setting answers the same questions. The policy starts cold, on a server of its own for every
price, and gets the right answer with a fifth of its questions. Fixed settings are extensions,
majorities, caps, and majorities of extended and of capped chains. Tokens are compared at the
accuracy of the best fixed setting, and at shares of what it gains over one pass; in between, both
sides may mix two of their settings. Intervals are a bootstrap over questions.

"Rules known beforehand" show what there is to learn: the best rules for extensions and majorities
by class and price, chosen in hindsight from what the fixed settings answered to the same questions.
No policy that either extends or votes can learn to do better.

    python -m benchmarks.live [--questions N] [--labels SHARE] [--quick]
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.frontier import (
    Estimate,
    Floats,
    Goal,
    QuerySample,
    SettingMean,
    estimate,
    figure,
    tokens_at,
    weights,
)
from benchmarks.goals import report
from benchmarks.harness import open_server
from benchmarks.serving.servers import free_port
from policies.curves.extension_counts import states
from policies.price import DEFAULT_PRICE
from scheduler.client.http_client import Client
from scheduler.config import EngineConfig, ServeConfig
from scheduler.experiments.metrics.regret import Path, Step, best_rule
from scheduler.experiments.questions.load import load_questions
from scheduler.experiments.questions.question import Question, spread
from scheduler.progress import Progress, progress
from workers.answers.grader import is_right
from workers.models import POCKET

GOALS = {"first half": 1.0, "second half": 0.75}
SHARES = (0.5, 0.75, 1.0)
REPLICATES = 1000
CONCURRENCY = 32
EXTENSIONS: dict[str, dict[str, Any]] = {
    f"{extensions} extensions": {"policy": "fixed", "extensions": extensions}
    for extensions in range(6)
}
VOTES: dict[str, dict[str, Any]] = {
    f"majority of {n}": {"policy": "majority", "samples": n} for n in (2, 4, 8, 16)
}
OTHERS: dict[str, dict[str, Any]] = {
    "cut at 32": {"policy": "fixed", "max_thinking_tokens": 32},
    "cut at 64": {"policy": "fixed", "max_thinking_tokens": 64},
    "majority of 4 cut at 32": {"policy": "majority", "samples": 4, "max_thinking_tokens": 32},
    "majority of 4 cut at 64": {"policy": "majority", "samples": 4, "max_thinking_tokens": 64},
    "majority of 4 extended twice": {"policy": "majority", "samples": 4, "extensions": 2},
}
FIXED = EXTENSIONS | VOTES | OTHERS
PRICES = (DEFAULT_PRICE / 3, DEFAULT_PRICE, 3 * DEFAULT_PRICE)
KNOWN_PRICES = tuple(DEFAULT_PRICE * 2 ** (half / 2) for half in range(-6, 9))
"""Of the rules that are known beforehand, which cost nothing to try."""


class LiveAnswer(NamedTuple):
    right: bool
    tokens: int
    answer: str | None
    answer_tokens: int


async def ask_all(
    url: str, options: dict[str, Any], questions: list[Question], labels: float, bar: Progress
) -> list[LiveAnswer]:
    """In the order of the questions; a share of them teaches what is right."""
    rng = Random(0)
    labelled = [rng.random() < labels for _ in questions]
    answers: dict[int, LiveAnswer] = {}
    waiting = iter(enumerate(questions))
    client = Client(url)

    async def worker() -> None:
        for place, question in waiting:
            learning: dict[str, Any] = {"learn": options["policy"] == "priced"}
            if learning["learn"] and labelled[place]:
                learning |= {"reference_answer": question.answer}
            response = await client.answer(
                {
                    "model": POCKET,
                    "messages": [{"role": "user", "content": question.question}],
                    "thinkbudget": options | learning | {"query_class": question.query_class},
                }
            )
            account = response["thinkbudget"]
            answer, spent = account["answer"], account["spent"]
            right, closing = is_right(answer, question.answer), spent["by_kind"]["answer"]
            answers[place] = LiveAnswer(right, spent["tokens"], answer, closing)
            bar.advance(str(options))

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(worker())
    await client.close()
    return [answers[place] for place in range(len(questions))]


def compared(table: Floats, fixed: int, sample: QuerySample) -> dict[float, Estimate]:
    """By share of the accuracy gained: tokens of the policy over those of fixed settings."""
    drawn = weights(sample, REPLICATES + 1, np.random.default_rng(0))
    means = np.einsum("bq,sqv->bsv", drawn, table, optimize=True)
    ratios: dict[float, list[float]] = {share: [] for share in SHARES}
    for each in means:
        settings = [SettingMean(*values) for values in each]
        theirs, ours = settings[:fixed], [settings[0], *settings[fixed:]]
        best = max(setting.accuracy for setting in theirs)
        for share, found in ratios.items():
            level = best - (1 - share) * (best - theirs[0].accuracy)
            found.append(tokens_at(ours, level) / tokens_at(theirs, level))
    return {share: estimate(found) for share, found in ratios.items()}


def run(questions: list[Question], labels: float, replicas: int) -> list[list[LiveAnswer]]:
    """All settings in turn: the fixed ones on one server, every price on a server of its own."""
    answers = []
    servers: list[tuple[float, list[dict[str, Any]]]] = [(DEFAULT_PRICE, list(FIXED.values()))]
    servers += [(price, [{"policy": "priced"}]) for price in PRICES]
    with progress("live", len(questions) * (len(FIXED) + len(PRICES))) as bar:
        for price, settings in servers:
            engine = EngineConfig(kv_cache_gib=0.5)
            config = ServeConfig(engine=engine, price=price, port=free_port(), replicas=replicas)
            with open_server(config):
                for options in settings:
                    url = f"http://127.0.0.1:{config.port}"
                    answers.append(asyncio.run(ask_all(url, options, questions, labels, bar)))
    return answers


def known(answers: Sequence[Sequence[LiveAnswer]], classes: Sequence[str]) -> Floats:
    """By price, question, and (right, tokens): rules that are the best for these very questions."""
    paths = [_paths(dict(zip(FIXED, each, strict=True))) for each in zip(*answers, strict=True)]
    results = []
    for price in KNOWN_PRICES:
        rules = {
            name: best_rule([w for w, c in zip(paths, classes, strict=True) if c == name], price)
            for name in set(classes)
        }
        ends = [
            rules[name].follow(each_paths[rules[name].method])
            for each_paths, name in zip(paths, classes, strict=True)
        ]
        results.append([(end.right, end.tokens) for end in ends])
    return np.array(results, dtype=np.float64)


def _paths(answers: Mapping[str, LiveAnswer]) -> dict[str, Path]:
    """A chain that the policy may extend answers at every end; a fixed one only at the last."""
    extensions = [answers[label] for label in EXTENSIONS]
    answered = accumulate((one.answer_tokens for one in extensions), initial=0)
    passed = zip(states([one.answer for one in extensions]), extensions, answered, strict=False)
    paths: dict[str, Path] = {
        label: [Step(0, answers[label].right, answers[label].tokens)] for label in VOTES
    }
    paths["extensions"] = [
        Step(state, one.right, one.tokens + extra) for state, one, extra in passed
    ]
    return paths


def _sample(classes: NDArray[np.int64]) -> QuerySample:
    """Every query is a question of its own, of one seed."""
    return QuerySample(classes, np.arange(len(classes)), np.zeros(len(classes), dtype=np.int64))


@click.command()
@click.option("--labels", default=0.2, show_default=True, type=click.FloatRange(0, 1))
@click.option("--questions", "count", type=int, default=1000, show_default=True)
@click.option("--replicas", type=int, default=1, show_default=True, help="Engines.")
@click.option("--quick", is_flag=True, help="100 questions.")
def main(labels: float, count: int, replicas: int, quick: bool) -> None:
    questions = spread(load_questions(POCKET), 100 if quick else count)
    answers = run(questions, labels, replicas)
    table = np.array([[each[:2] for each in row] for row in answers], dtype=np.float64)
    class_names = [question.query_class for question in questions]
    classes = np.unique(class_names, return_inverse=True)[1]
    middle = len(questions) // 2
    halves = {"first half": slice(None, middle), "second half": slice(middle, None)}
    for label, (accuracy, tokens) in zip(FIXED, table.mean(axis=1), strict=False):
        click.echo(f"{label:>28}: {accuracy:6.1%} at {tokens:6.1f} tokens a question")
    for price, (accuracy, tokens) in zip(PRICES, table.mean(axis=1)[len(FIXED) :], strict=True):
        click.echo(f"{f'priced {price:.0e}':>28}: {accuracy:6.1%} at {tokens:6.1f}")
    hindsight = np.concatenate([table[: len(FIXED)], known(answers[: len(FIXED)], class_names)])
    for share, ratio in compared(hindsight, len(FIXED), _sample(classes)).items():
        click.echo(f"rules known beforehand, {share:.0%} of that gain: {figure(ratio)}")
    goals = [
        Goal(f"{half}: tokens for {share:.0%} of the best fixed gain", ratio, GOALS[half])
        for half, rows in halves.items()
        for share, ratio in compared(table[:, rows], len(FIXED), _sample(classes[rows])).items()
    ]
    for goal in goals:
        click.echo(goal)
    report({goal.name: goal.as_dict() for goal in goals})


if __name__ == "__main__":
    main()
