"""Lines of answers and references: what is wrong with a line, and the grades in their order."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from policies.answer_spec import AnswerSpec
from workers.answers.grader import Grade, Grader
from workers.answers.math_pool import MathPool, PoolLimits

MAX_LINE_BYTES = 16 << 20
MAX_UNDER_WAY = 256


@dataclass(frozen=True, slots=True)
class BadLine:
    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    fields: dict[str, Any]
    reply: str
    reference: str
    spec: AnswerSpec


@dataclass(frozen=True, slots=True)
class Graded:
    line: Line
    grade: Grade

    def as_dict(self) -> dict[str, Any]:
        """The fields of the line, and the grade."""
        grade = self.grade
        return {
            **self.line.fields,
            "right": grade.right,
            "reason": grade.reason,
            "method": grade.method,
        }


def read(lines: Iterable[bytes], kind: str = "auto") -> Iterator[Line | BadLine]:
    """Every line that is not blank, counted from 1; `kind` where a line has none."""
    for number, raw in enumerate(lines, 1):
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if not raw.strip():
            continue
        try:
            yield _line(number, raw, kind)
        except ValueError as error:
            yield BadLine(number, str(error))


async def graded(
    lines: Iterable[Line | BadLine], limits: PoolLimits
) -> AsyncIterator[Graded | BadLine]:
    """Grades in the order of the lines, many at a time."""
    async with MathPool(limits) as pool:
        grader = Grader(pool)
        waiting: deque[asyncio.Task[Graded] | Graded | BadLine] = deque()
        try:
            for line in lines:
                waiting.append(_begun(grader, line))
                if len(waiting) >= MAX_UNDER_WAY or not isinstance(waiting[0], asyncio.Task):
                    yield await _done(waiting.popleft())
            while waiting:
                yield await _done(waiting.popleft())
        finally:
            for task in waiting:
                if isinstance(task, asyncio.Task):
                    task.cancel()


def _begun(grader: Grader, line: Line | BadLine) -> "asyncio.Task[Graded] | Graded | BadLine":
    if isinstance(line, BadLine):
        return line
    grade = grader.grade_at_once(line.reply, line.reference, line.spec)
    return asyncio.create_task(_grade(grader, line)) if grade is None else Graded(line, grade)


async def _grade(grader: Grader, line: Line) -> Graded:
    return Graded(line, await grader.grade(line.reply, line.reference, line.spec))


async def _done(item: "asyncio.Task[Graded] | Graded | BadLine") -> Graded | BadLine:
    return await item if isinstance(item, asyncio.Task) else item


def _line(number: int, raw: bytes, kind: str) -> Line:
    if len(raw) > MAX_LINE_BYTES:
        raise ValueError(f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"must be a JSON object, got {type(fields).__name__}")
    if "answer" in fields and "reply" in fields:
        raise ValueError("has both answer and reply")
    name = "reply" if "reply" in fields else "answer"
    for field in (name, "reference"):
        if field not in fields:
            missing = "answer or reply" if field == name else field
            raise ValueError(f"{missing} is missing")
    reply, reference = (_text(fields[field], field) for field in (name, "reference"))
    choices, pattern = fields.get("choices") or [], fields.get("pattern")
    if not isinstance(choices, list):
        raise ValueError(f"choices must be a list, got {str(choices)[:40]!r}")
    if not isinstance(pattern, str | None):
        raise ValueError(f"pattern must be text, got {str(pattern)[:40]!r}")
    named: Any = fields.get("kind") or ("choice" if choices else kind)
    return Line(number, fields, reply, reference, AnswerSpec(named, tuple(choices), pattern))


def _text(value: Any, field: str) -> str:
    """Numbers and JSON objects count as their text; no answer is an empty one."""
    if isinstance(value, str):
        return value
    if value is None and field != "reference":
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | dict | list):
        return json.dumps(value, ensure_ascii=False)
    raise ValueError(f"{field} must be text, got {value!r}")
