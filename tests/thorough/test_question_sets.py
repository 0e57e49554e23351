"""Question sets of reasoning-gym: made by name, and graded by its own verifiers."""

import asyncio

import pytest

from tests.thorough import real_models

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("default")]

TASKS = ("chain_sum", "leg_counting", "letter_counting", "basic_arithmetic", "base_conversion")


@pytest.mark.parametrize("task", TASKS)
def test_a_task_grades_its_own_answers(task: str) -> None:
    real_models.use_packages()
    from scheduler.experiments.grading import Judge
    from scheduler.experiments.questions.load import load_questions
    from scheduler.experiments.settings import QuestionSet
    from workers.answers.grader import Grader

    source = QuestionSet(f"reasoning-gym:{task}", limit=5, seed=3)
    found = load_questions(source)
    assert found == load_questions(source)
    assert len({question.id for question in found}) == 5

    async def grades(answers: list[str | None]) -> list[bool]:
        judge = Judge(Grader())
        return [await judge.is_right(q, a) for q, a in zip(found, answers, strict=True)]

    assert asyncio.run(grades([question.answer for question in found])) == [True] * 5
    assert asyncio.run(grades(["nonsense"] * 5)) == [False] * 5
    assert asyncio.run(grades([None] * 5)) == [False] * 5


def test_a_mistake_is_told_by_its_name() -> None:
    real_models.use_packages()
    from scheduler.experiments.questions.load import load_questions
    from scheduler.experiments.settings import QuestionSet

    with pytest.raises(ValueError, match="did you mean 'chain_sum'"):
        load_questions("reasoning-gym:chain_sums")
    with pytest.raises(ValueError, match="reasoning-gym:chain_sum: .*min_trms"):
        load_questions(QuestionSet("reasoning-gym:chain_sum", options={"min_trms": 3}))
