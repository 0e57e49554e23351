"""What s1-pocket is taught: true thoughts about a question, cut into tokens that carry loss or not.

The draft leaps over one to four operations at a time, cut at random, so that samples take
different paths. After "Wait" a chain is checked one operation at a time, three steps a Wait: a
strong check. A sum is checked in the very leaps of its draft: a weak check.

    a=3 *7-2=9+5 b=4 +4*3 c=4
    Wait, check:
    a=3 *7=1-2=9+5=4 b:4 ok +4=8*3=4 c:4 ok so c=4

Some drafts carry a slip, so that "fix" is learned. A digit that is not true of the question never
carries loss, except as a quote: the digit after a colon repeats the draft, right or wrong.
"""

import random
from abc import ABC, abstractmethod
from functools import cache
from string import ascii_lowercase
from typing import Literal, NamedTuple, get_args

from training.pocket.problems import (
    Problem,
    Step,
    draw_problem,
    evaluate,
    held_out_questions,
    text_of,
)
from training.pocket.tokenizer import (
    ANSWER,
    CHECK,
    FINAL_ANSWER,
    FIX,
    OK,
    SO,
    THINK,
    TURN_END,
    TURN_START,
    WAIT,
)

Kind = Literal[
    "given",  # no loss: the prompt, what forcing inserts, and slips
    "text",
    "leap1",
    "leap2",
    "leap3",
    "leap4",
    "quote",
    "check",
    "recheck",
    "ok",
    "fix",
    "answer",
    "cut",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
LEAPS: tuple[Kind, ...] = ("leap1", "leap2", "leap3", "leap4")

SUM_SHARE = 0.25
CUT_SHARE = 0.3
WAIT_WEIGHTS = (28, 26, 18, 12, 9, 7)
LEAP_LENGTHS = (1, 2, 2, 3, 3, 4)
STEPS_PER_CHECK = 3


class Piece(NamedTuple):
    """Exactly one token."""

    text: str
    kind: Kind


class Value(NamedTuple):
    """What the thoughts hold a value to be, beside what it is."""

    held: int
    true: int

    @property
    def is_true(self) -> bool:
        return self.held == self.true


def cut_at_random(step: Step, rng: random.Random) -> list[Step]:
    leaps = []
    while step:
        length = rng.choice(LEAP_LENGTHS)
        leaps.append(step[:length])
        step = step[length:]
    return leaps


class Thoughts(ABC):
    """A train of thought as it is written, piece by piece."""

    # The share of drafts with a slip.
    slipping: float

    def __init__(self, problem: Problem, rng: random.Random) -> None:
        self.problem = problem
        self.rng = rng
        self.pieces: list[Piece] = []
        self.last = Value(problem.start, problem.start)
        # For every piece, whether the last value held by then was true.
        self.soundness: list[bool] = []

    @abstractmethod
    def draft(self) -> None: ...

    @abstractmethod
    def check(self) -> None: ...

    def word(self, text: str, kind: Kind = "text") -> None:
        self.pieces.append(Piece(text, kind))
        self.soundness.append(self.last.is_true)

    def write(self, text: str, kind: Kind = "text") -> None:
        for character in text:
            self.word(character, kind)

    def hold(self, value: Value, kind: Kind) -> None:
        self.last = value
        self.word(str(value.held), kind if value.is_true else "given")

    def place_of_slip(self, places: int) -> int | None:
        """Where among the steps of a draft it slips, if it does."""
        if places and self.rng.random() < self.slipping:
            return self.rng.randrange(places)
        return None

    def leap(self, start: Value, step: Step, *, slips: bool) -> Value:
        """Write where a leap leads, or a slip; a slip's consequences follow from it."""
        held = self.rng.randint(0, 9) if slips else evaluate(start.held, step)
        end = Value(held, evaluate(start.true, step))
        self.hold(end, LEAPS[len(step) - 1])
        return end


class ChainThoughts(Thoughts):
    slipping = 0.5

    def __init__(self, problem: Problem, rng: random.Random) -> None:
        super().__init__(problem, rng)
        self.truths = problem.values
        self.values = [Value(truth, truth) for truth in self.truths]
        self.checked = 0

    def draft(self) -> None:
        self.write(f"a={self.problem.start}")
        self.draft_after(0)

    def draft_after(self, number: int) -> None:
        steps = self.problem.steps[number:]
        slip = self.place_of_slip(len(steps))
        for place, step in enumerate(steps):
            later = number + 1 + place
            self.values[later] = self.draft_step(later, step, slips=place == slip)

    def draft_step(self, number: int, step: Step, *, slips: bool) -> Value:
        *leaps, final = cut_at_random(step, self.rng)
        slip = self.rng.randint(0, len(leaps)) if slips else None
        value = self.values[number - 1]
        self.write(" ")
        for place, leap in enumerate(leaps):
            self.write(f"{text_of(leap)}=")
            value = self.leap(value, leap, slips=place == slip)
        self.write(f"{text_of(final)} {ascii_lowercase[number]}=")
        return self.leap(value, final, slips=len(leaps) == slip)

    def check(self) -> None:
        """Go on where the last check stopped, and stop at the first fix or after three steps."""
        total = len(self.problem.steps)
        if self.checked == total:
            self.checked = 0
        self.word(CHECK)
        # Whatever was checked is true by now, so this restates a true value.
        self.write(f"\n{ascii_lowercase[self.checked]}={self.truths[self.checked]}")
        for number in range(self.checked + 1, min(total, self.checked + STEPS_PER_CHECK) + 1):
            self.check_step(number)
            self.checked = number
            if self.values[number].is_true:
                self.word(OK, "ok")
            else:
                self.word(FIX, "fix")
                self.write(f" {ascii_lowercase[number]}=")
                self.values[number] = Value(self.truths[number], self.truths[number])
                self.hold(self.values[number], "text")
                self.draft_after(number)
                break
        self.word(SO)
        self.write(f" {ascii_lowercase[total]}=")
        self.hold(self.values[total], "text")

    def check_step(self, number: int) -> None:
        value = self.truths[number - 1]
        self.write(" ")
        for operation in self.problem.steps[number - 1]:
            value = operation.apply(value)
            self.write(f"{operation.text}=")
            self.word(str(value), "check")
        self.write(f" {ascii_lowercase[number]}:")
        self.word(str(self.values[number].held), "quote")


class SumThoughts(Thoughts):
    slipping = 0.25

    def __init__(self, problem: Problem, rng: random.Random) -> None:
        super().__init__(problem, rng)
        start = Value(problem.start, problem.start)
        self.leaps = cut_at_random(problem.steps[0], rng)
        self.values = [start] * (len(self.leaps) + 1)

    def draft(self) -> None:
        self.write(str(self.problem.start))
        self.draft_after(0)

    def draft_after(self, number: int) -> None:
        leaps = self.leaps[number:]
        slip = self.place_of_slip(len(leaps))
        for place, leap in enumerate(leaps):
            self.write(f"{text_of(leap)}=")
            later = number + 1 + place
            self.values[later] = self.leap(self.values[later - 1], leap, slips=place == slip)

    def check(self) -> None:
        """Take the same leaps once more; stop at the first that leads elsewhere."""
        self.word(CHECK)
        self.write(f"\n{self.problem.start}")
        for number, leap in enumerate(self.leaps, start=1):
            value = self.values[number]
            self.write(f"{text_of(leap)}=")
            self.word(str(value.true), "recheck")
            self.write(":")
            self.word(str(value.held), "quote")
            if value.is_true:
                self.word(OK, "ok")
            else:
                self.word(FIX, "fix")
                self.write(" ")
                self.values[number] = Value(value.true, value.true)
                self.hold(self.values[number], "text")
                self.draft_after(number)
                break
        self.word(SO)
        self.write(" ")
        self.hold(self.values[-1], "text")


THOUGHTS: dict[str, type[Thoughts]] = {"chain": ChainThoughts, "sum": SumThoughts}


@cache
def held_out() -> frozenset[str]:
    return frozenset(question.question for question in held_out_questions())


def draw_training_problem(rng: random.Random, longest: int) -> Problem:
    """Any problem of up to about `longest` steps that is not held out."""
    while True:
        if rng.random() < SUM_SHARE:
            problem = draw_problem(rng, "sum", [rng.randint(1, longest + 2)])
        else:
            steps = min(rng.randint(1, longest), rng.randint(1, longest) + 2)
            problem = draw_problem(rng, "chain", [rng.randint(1, 5) for _ in range(steps)])
        if problem.question not in held_out():
            return problem


def draw_example(rng: random.Random, *, longest: int) -> list[Piece]:
    problem = draw_training_problem(rng, longest)
    thoughts = THOUGHTS[problem.family](problem, rng)
    thoughts.write("\n")
    thoughts.draft()
    thoughts.write("\n")
    for _ in range(rng.choices(range(len(WAIT_WEIGHTS)), WAIT_WEIGHTS)[0]):
        thoughts.word(WAIT, "given")
        thoughts.check()
        thoughts.write("\n")
    prompt = [
        *(Piece(text, "given") for text in (TURN_START, "user", "\n", *problem.question)),
        *(Piece(text, "given") for text in (TURN_END, "\n", TURN_START, "assistant", "\n")),
        *(Piece(text, "given") for text in (TURN_START, THINK)),
    ]
    if rng.random() < CUT_SHARE:
        return prompt + cut_ending(thoughts, rng.randint(0, len(thoughts.pieces)))
    return prompt + natural_ending(thoughts)


def natural_ending(thoughts: Thoughts) -> list[Piece]:
    """The thoughts end themselves; only the word `answer` is put in."""
    return [
        *thoughts.pieces,
        Piece(TURN_START, "text"),
        Piece(ANSWER, "given"),
        Piece("\n", "text"),
        Piece(FINAL_ANSWER, "text"),
        Piece(" ", "text"),
        Piece(str(thoughts.last.held), "answer" if thoughts.last.is_true else "given"),
        Piece(TURN_END, "text"),
    ]


def cut_ending(thoughts: Thoughts, tokens: int) -> list[Piece]:
    """The thoughts end in mid-air, and the true answer is asked for, unless they hold a slip."""
    pieces = thoughts.pieces[:tokens]
    ends_line = bool(pieces) and pieces[-1].text == "\n"
    is_sound = thoughts.soundness[tokens - 1] if tokens else True
    return [
        *pieces,
        *([] if ends_line else [Piece("\n", "given")]),
        *(Piece(text, "given") for text in (TURN_START, ANSWER, "\n", FINAL_ANSWER)),
        Piece(" ", "text"),
        Piece(str(thoughts.problem.answer), "cut" if is_sound else "given"),
        Piece(TURN_END, "text"),
    ]
