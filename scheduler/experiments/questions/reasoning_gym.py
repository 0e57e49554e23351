"""Tasks of reasoning-gym, which are made, not downloaded, and graded by verifiers of their own.

The only importer of `reasoning_gym` (extra `experiments`).
"""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from scheduler.experiments.questions.question import Question

PREFIX = "reasoning-gym:"
DEFAULT_SIZE = 100


def make(task: str, *, size: int, seed: int, options: Mapping[str, Any]) -> list[Question]:
    """`size` questions of a task. Raises ValueError for a task or options that are not known."""
    gym = _gym()
    if task not in gym.factory.DATASETS:
        near = get_close_matches(task, gym.factory.DATASETS, n=1, cutoff=0.0)
        raise ValueError(f"unknown task {PREFIX}{task}; did you mean {near[0]!r}?")
    try:
        made = gym.create_dataset(task, size=size, seed=seed, **options)
        entries = [made[number] for number in range(size)]
    except (TypeError, AssertionError, ValueError) as error:
        raise ValueError(f"{PREFIX}{task}: {error}") from error
    return [
        Question(
            f"{task}-{seed}-{number}",
            task,
            entry["question"],
            str(entry["answer"]),
            task=task,
            entry=json.dumps(entry, default=str),
        )
        for number, entry in enumerate(entries)
    ]


def is_right(question: Question, answer: str | None) -> bool:
    """Whether the task's verifier gives the answer its full score."""
    entry = json.loads(question.entry)
    return bool(_scorer(question.task).score_answer(answer, entry=entry) >= 1.0)


@cache
def _scorer(task: str) -> Any:
    return _gym().create_dataset(task, size=1, seed=0)


def _gym() -> Any:
    try:
        import reasoning_gym
        import reasoning_gym.factory
    except ImportError as error:
        raise ValueError(
            f"{PREFIX}TASK needs the package reasoning-gym ({error}); "
            "install the extra `experiments`"
        ) from None
    return reasoning_gym
