"""Whether an answer is right by a reference, how that was found, and why."""

from dataclasses import dataclass
from functools import lru_cache

from policies.answer_spec import AnswerSpec
from workers.answers.equality import AUTO, Equality, Method, Verdict
from workers.answers.find import MAX_REPLY, find_answer, find_reference
from workers.answers.math_pool import MathPool, Undecided

MAX_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Grade:
    """`reason` is one line that names the answer that was found and the one of the reference."""

    right: bool
    reason: str
    method: Method


class Grader:
    """Grades answers, or whole replies: the answer in them is found first.

    Formulas need `pool`; without one they are right only where they are spelt alike.
    """

    def __init__(self, pool: MathPool | None = None) -> None:
        self._pool = pool
        self.equality = Equality(pool)

    async def find(self, reply: str, spec: AnswerSpec = AUTO, forced: str = "") -> str | None:
        """The answer in a reply; the pattern of `spec` is run in the pool. Raises Undecided."""
        if spec.pattern is None:
            return find_answer(reply, spec, forced)
        if self._pool is None:
            raise Undecided("down")
        return await self._pool.find(spec.pattern, reply[-MAX_REPLY:])

    def grade_at_once(self, reply: str, reference: str, spec: AnswerSpec = AUTO) -> Grade | None:
        """Without waiting: for numbers, choices, words and JSON.

        None where the pool is needed: for formulas that it has not compared, and for patterns.
        """
        if spec.pattern is not None and self._pool is not None:
            return None
        return self._grade(find_answer(reply, spec), reference, spec)

    async def grade(self, reply: str, reference: str, spec: AnswerSpec = AUTO) -> Grade:
        """As `grade_at_once`, formulas and patterns included. Never raises because of a reply."""
        try:
            answer = await self.find(reply, spec)
        except Undecided as undecided:
            return Grade(False, f"the pattern was not run: {undecided.failure}", "none")
        if (grade := self._grade(answer, reference, spec)) is not None:
            return grade
        expected = find_reference(reference, spec)
        assert answer is not None and expected is not None
        return _graded(answer, expected, await self.equality.same(answer, expected, spec))

    async def is_right(self, answer: str | None, reference: str, spec: AnswerSpec = AUTO) -> bool:
        """Whether an answer that was found says what the reference says."""
        expected = find_reference(reference, spec)
        if answer is None or expected is None:
            return False
        return (await self.equality.same(answer, expected, spec)).same

    def _grade(self, answer: str | None, reference: str, spec: AnswerSpec) -> Grade | None:
        if spec.kind == "none":
            return Grade(False, "answers of kind none are not graded", "none")
        if answer is None:
            return Grade(False, "there is no answer", "none")
        expected = find_reference(reference, spec)
        if expected is None:
            return Grade(False, "the reference holds no answer", "none")
        verdict = self.equality.at_once(answer, expected, spec)
        return None if verdict is None else _graded(answer, expected, verdict)


@lru_cache(8192)
def is_right(answer: str | None, reference: str) -> bool:
    """As `Grader().is_right`, without waiting: there is no pool to wait for."""
    grade = Grader()._grade(answer, reference, AUTO)
    return grade is not None and grade.right


def _graded(answer: str, expected: str, verdict: Verdict) -> Grade:
    sign = "is" if verdict.same else "is not"
    reason = f"{_short(answer)} {sign} {_short(expected)}"
    if verdict.why:
        reason += f"; compared as text only ({verdict.why})"
    return Grade(verdict.same, reason, verdict.method)


def _short(text: str) -> str:
    return repr(text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "...")
