"""Whether attempts are right: by the answer of the solution, or by a model that judges.

The paper has a model judge (s1, section 2.2 and figure 8). Where solutions end in a short answer,
comparing answers costs nothing and always gives the same grade.
"""

from collections.abc import Sequence
from functools import lru_cache

from training.curate.asking import Asker
from training.curate.replies import Reply
from workers.answers.extract import extract
from workers.answers.grader import is_right


async def grade(
    questions: Sequence[str], attempts: Sequence[str], solutions: Sequence[str], judge: Asker | None
) -> list[bool | None]:
    """For every attempt whether it is right, or None if that is unknown."""
    if judge is None:
        return [by_answer(*pair) for pair in zip(attempts, solutions, strict=True)]
    prompts = [judge_prompt(*row) for row in zip(questions, attempts, solutions, strict=True)]
    replies = await judge.ask_all(prompts)
    return [verdict(reply.text) if isinstance(reply, Reply) else None for reply in replies]


def by_answer(attempt: str, solution: str) -> bool | None:
    """Whether an attempt's answer equals that of the solution; None if the solution has none."""
    reference = _reference(solution)
    return None if reference is None else is_right(extract(attempt), reference)


@lru_cache(maxsize=4096)
def _reference(solution: str) -> str | None:
    """The answer of a solution, with which the attempts of several models are compared."""
    return extract(solution)


def judge_prompt(question: str, attempt: str, solution: str) -> str:
    return (
        "Decide whether the attempt answers the problem correctly. Compare its final answer with "
        "the correct one; how it gets there does not count. Give a short reason, then write only "
        "Yes or No on the last line.\n\n"
        f"## Problem\n{question}\n\n## Attempt\n{attempt}\n\n## Correct answer\n{solution}"
    )


def verdict(reply: str) -> bool | None:
    """What the last line of a judge's reply says; None for anything but Yes or No."""
    lines = reply.strip().splitlines()
    last = lines[-1].strip() if lines else ""
    return {"Yes": True, "No": False}.get(last)
