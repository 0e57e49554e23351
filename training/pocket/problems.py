"""The questions s1-pocket is trained and tested on: chains of arithmetic on the last digit.

A chain names the value after each step, `a=3 b=a*7-2+5 c=b+4*3 c?`; a sum names none,
`3+7-2*9+5?`. Both go from left to right, and of every value only the last digit is kept.
"""

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import accumulate
from pathlib import Path
from string import ascii_lowercase
from typing import Literal

Sign = Literal["+", "-", "*"]
Family = Literal["chain", "sum"]

# Half the operations multiply, mostly by a number that has an inverse modulo 10:
# a chain of other factors soon forgets its start.
SIGNS: tuple[Sign, ...] = ("*", "+", "*", "-")
FACTORS = (3, 7, 9, 3, 7, 2, 4, 8, 6)

QUESTIONS_PER_CLASS = 300


@dataclass(frozen=True, slots=True)
class Operation:
    sign: Sign
    operand: int

    def apply(self, value: int) -> int:
        match self.sign:
            case "+":
                return (value + self.operand) % 10
            case "-":
                return (value - self.operand) % 10
            case "*":
                return (value * self.operand) % 10

    @property
    def text(self) -> str:
        return f"{self.sign}{self.operand}"


Step = tuple[Operation, ...]


def evaluate(value: int, step: Step) -> int:
    return reduce(lambda reached, operation: operation.apply(reached), step, value)


def text_of(step: Step) -> str:
    return "".join(operation.text for operation in step)


@dataclass(frozen=True, slots=True)
class Problem:
    """A start and the steps that lead from it; a sum is one long step."""

    family: Family
    start: int
    steps: tuple[Step, ...]

    @property
    def values(self) -> tuple[int, ...]:
        """The start, then the true value after each step."""
        return tuple(accumulate(self.steps, evaluate, initial=self.start))

    @property
    def answer(self) -> int:
        return self.values[-1]

    @property
    def question(self) -> str:
        if self.family == "sum":
            return f"{self.start}{text_of(self.steps[0])}?"
        names = ascii_lowercase
        links = (
            f"{names[number]}={names[number - 1]}{text_of(step)}"
            for number, step in enumerate(self.steps, start=1)
        )
        return " ".join([f"{names[0]}={self.start}", *links, f"{names[len(self.steps)]}?"])


_STEP = r"(?:[+*-][0-9])+"
_SUM = re.compile(rf"([0-9])({_STEP})\?")
_CHAIN = re.compile(rf"a=([0-9])((?: [b-z]=[a-y]{_STEP})+) ([b-z])\?")
_LINK = re.compile(rf" ([b-z])=([a-y])({_STEP})")
_SIGNS: dict[str, Sign] = {sign: sign for sign in ("+", "-", "*")}


def read_problem(question: str) -> Problem:
    """The problem of a question. Raises ValueError for what is none."""
    if match := _SUM.fullmatch(question):
        return Problem("sum", int(match[1]), (_operations(match[2]),))
    if match := _CHAIN.fullmatch(question):
        steps = tuple(_operations(link[3]) for link in _LINK.finditer(match[2]))
        problem = Problem("chain", int(match[1]), steps)
        if problem.question == question:
            return problem
    raise ValueError(f"no chain or sum: {question[:80]!r}")


def _operations(text: str) -> Step:
    return tuple(
        Operation(_SIGNS[sign], int(operand))
        for sign, operand in zip(text[::2], text[1::2], strict=True)
    )


def draw_operation(rng: random.Random) -> Operation:
    sign = rng.choice(SIGNS)
    return Operation(sign, rng.choice(FACTORS) if sign == "*" else rng.randint(1, 9))


def draw_problem(rng: random.Random, family: Family, operations: Sequence[int]) -> Problem:
    """A problem with the given number of operations in each step."""
    steps = tuple(tuple(draw_operation(rng) for _ in range(count)) for count in operations)
    return Problem(family, rng.randint(0, 9), steps)


@dataclass(frozen=True, slots=True)
class QuestionClass:
    """Inclusive ranges: how many steps, and how many operations in each."""

    family: Family
    steps: tuple[int, int]
    operations: tuple[int, int]

    def draw(self, rng: random.Random) -> Problem:
        count = rng.randint(*self.steps)
        return draw_problem(rng, self.family, [rng.randint(*self.operations) for _ in range(count)])


QUESTION_CLASSES = {
    "easy": QuestionClass("chain", steps=(2, 4), operations=(1, 2)),
    "medium": QuestionClass("chain", steps=(2, 4), operations=(2, 3)),
    "hard": QuestionClass("chain", steps=(4, 6), operations=(3, 4)),
    "extreme": QuestionClass("chain", steps=(5, 8), operations=(4, 5)),
    "sum": QuestionClass("sum", steps=(1, 1), operations=(6, 10)),
}


@dataclass(frozen=True, slots=True)
class Question:
    id: str
    name: str
    question: str
    answer: str

    @property
    def line(self) -> str:
        fields = asdict(self)
        fields["class"] = fields.pop("name")
        return json.dumps({key: fields[key] for key in ("id", "class", "question", "answer")})


def held_out_questions() -> Iterator[Question]:
    """The shipped questions, all different; training never draws one of them."""
    for name, question_class in QUESTION_CLASSES.items():
        rng = random.Random(f"held-out {name}")
        seen: dict[str, int] = {}
        while len(seen) < QUESTIONS_PER_CLASS:
            problem = question_class.draw(rng)
            seen[problem.question] = problem.answer
        for number, (question, answer) in enumerate(seen.items(), start=1):
            yield Question(f"{name}-{number:04}", name, question, str(answer))


def write_questions(path: Path) -> None:
    path.write_text("".join(f"{question.line}\n" for question in held_out_questions()))
