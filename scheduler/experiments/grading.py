"""Whether an answer is right: by the graders of served answers, a task's verifier, or a record."""

from collections.abc import Iterable, Mapping
from typing import Any

from policies.answer_spec import AnswerSpec
from scheduler.experiments.questions import reasoning_gym
from scheduler.experiments.questions.question import Question
from workers.answers.equality import AUTO
from workers.answers.grader import Grader
from workers.answers.math_pool import MathPool

Known = Mapping[tuple[str, str], bool]
"""By answer and reference, whether the answer is right."""


class RecordedGrader(Grader):
    """Knows the answers of a recording; others are compared without the pool of formulas."""

    def __init__(self, known: Known) -> None:
        super().__init__(None)
        self._known = known

    async def is_right(self, answer: str | None, reference: str, spec: AnswerSpec = AUTO) -> bool:
        if answer is not None and (found := self._known.get((answer, reference))) is not None:
            return found
        return await super().is_right(answer, reference, spec)


class Judge:
    """Grades answers to questions; each answer to each question once."""

    def __init__(self, grader: Grader) -> None:
        self._grader = grader
        self._known: dict[tuple[str, str | None], bool] = {}

    async def is_right(self, question: Question, answer: str | None) -> bool:
        key = (question.id, answer)
        if key not in self._known:
            if question.task:
                right = answer is not None and reasoning_gym.is_right(question, answer)
            else:
                right = await self._grader.is_right(answer, question.answer, question.spec)
            self._known[key] = right
        return self._known[key]


async def graded(outcomes: Iterable[Mapping[str, Any]], questions: Iterable[Question]) -> Known:
    """Whether each recorded answer is right, formulas compared by the pool."""
    by_text = {question.question: question for question in questions}
    known: dict[tuple[str, str], bool] = {}
    async with MathPool() as pool:
        grader = Grader(pool)
        for outcome in outcomes:
            if (question := by_text.get(outcome["question"])) is None or question.task:
                continue
            for sample in outcome["samples"]:
                key = (sample["answer"], question.answer)
                if sample["answer"] is None or key in known:
                    continue
                if "right" in sample:
                    known[key] = sample["right"]
                else:
                    known[key] = await grader.is_right(*key, question.spec)
    return known
