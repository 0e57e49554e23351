"""Policies x seeds over one question set; every outcome is logged, and every pair starts cold.

One file a pair, DIR/POLICY.SEED.jsonl, that appears when the pair is complete: running the same
experiment again does only what is missing. Beside it the curves that the policy has learned.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from policies.base import Message, Policy, Query
from policies.price import Price
from scheduler.config import ExperimentConfig, PolicyConfig, ServeConfig
from scheduler.curves.wal import DurableCurveStore, save
from scheduler.engines.factory import make_engine
from scheduler.errors import PolicyFailed
from scheduler.experiments.question_sets import Question, load_questions, spread
from scheduler.policy_file import build_policy
from scheduler.progress import Progress
from scheduler.solving.controller import Controller
from scheduler.solving.pricing import Pricing
from workers.answers.grader import Grader
from workers.answers.math_pool import MathPool
from workers.engine import Engine


class PolicySeed(NamedTuple):
    """One policy with one seed; `label` is its name in the experiment."""

    label: str
    policy: PolicyConfig
    seed: int

    def path(self, folder: Path) -> Path:
        return folder / f"{self.label}.{self.seed}.jsonl"


def pairs(config: ExperimentConfig) -> list[PolicySeed]:
    """All pairs, checked: a policy that cannot be built is refused before anything runs."""
    for label, policy in config.policies.items():
        if not label or "/" in label or label.startswith("."):
            raise ValueError(f"policies: {label!r} cannot be a file's name")
        _policy(config, policy)
    return [
        PolicySeed(label, policy, seed)
        for seed in range(config.seeds)
        for label, policy in config.policies.items()
    ]


def question_set(config: ExperimentConfig) -> list[Question]:
    if config.questions is not None:
        return spread(load_questions(config.questions), config.count)
    if config.engine.kind == "simulated":
        from workers.simulated.law import questions

        made = questions(config.count or 300, config.engine.seed)
        return [Question(q["id"], q["class"], q["question"], q["answer"]) for q in made]
    return spread(load_questions(config.engine.model), config.count)


def missing(config: ExperimentConfig, folder: Path) -> list[PolicySeed]:
    return [pair for pair in pairs(config) if not pair.path(folder).exists()]


async def run(
    config: ExperimentConfig, todo: list[PolicySeed], folder: Path, progress: Progress
) -> list[str]:
    """Run the pairs one after another on one engine.

    Gives what was wrong with each question that a policy has failed on.
    """
    failures: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    asked = question_set(config)
    engine = make_engine(config.engine)
    try:
        # On virtual time a process is late at once.
        async with MathPool() as pool:
            grader = Grader(pool if config.engine.kind == "vllm" else None)
            for pair in todo:
                failures += await _run_pair(config, pair, asked, engine, grader, folder, progress)
    finally:
        await engine.close()
    return failures


async def _run_pair(
    config: ExperimentConfig,
    pair: PolicySeed,
    asked: list[Question],
    engine: Engine,
    grader: Grader,
    folder: Path,
    progress: Progress,
) -> list[str]:
    curves = DurableCurveStore()
    path = pair.path(folder)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as log:
        controller = Controller(
            engine=engine,
            info=await engine.info(),
            policy=_policy(config, pair.policy),
            curves=curves,
            pricing=Pricing(Price(config.price)),
            seed=pair.seed,
            grader=grader,
        )
        queries = iter(_queries(config, pair, asked))
        failures: list[str] = []

        async def worker() -> None:
            for query, reference in queries:
                try:
                    outcome = await controller.answer(query)
                except PolicyFailed as failed:
                    failures.append(failed.message)
                    log.write(json.dumps(_failed(pair, query, reference, failed)) + "\n")
                    continue
                line = outcome.as_dict() | {"policy": pair.label, "seed": pair.seed}
                correct = await grader.is_right(outcome.answer, reference)
                line |= {"reference": reference, "correct": correct}
                log.write(json.dumps(line) + "\n")
                progress.advance(f"{pair.label}, seed {pair.seed}")

        async with asyncio.TaskGroup() as group:
            for _ in range(config.concurrency):
                group.create_task(worker())
    save(curves.store, path.with_suffix(".curves.json"))
    partial.replace(path)
    return failures


def _failed(pair: PolicySeed, query: Query, reference: str, failed: PolicyFailed) -> dict[str, Any]:
    """The line of a question that the policy has failed on: it counts as not answered."""
    return {
        "id": query.id,
        "policy": pair.label,
        "seed": pair.seed,
        "class": query.query_class,
        "reference": reference,
        "answer": None,
        "correct": False,
        "tokens": {"total": failed.spent},
        "seconds": 0.0,
        "error": failed.message,
    }


def _queries(
    config: ExperimentConfig, pair: PolicySeed, asked: list[Question]
) -> Iterator[tuple[Query, str]]:
    """The questions in the seed's own order; only a share of them comes with its right answer."""
    rng = Random(pair.seed)
    for question in rng.sample(asked, len(asked)):
        labelled = rng.random() < config.labelled
        query = Query(
            id=f"{pair.label}-{pair.seed}-{question.id}",
            messages=(Message("user", question.question),),
            query_class=question.query_class,
            reference=question.answer if labelled else None,
        )
        yield query, question.answer


def _policy(config: ExperimentConfig, policy: PolicyConfig) -> Policy:
    serving = ServeConfig(policy=policy, price=config.price, answer_tokens=config.answer_tokens)
    return build_policy(policy.name, **serving.policy_options)
