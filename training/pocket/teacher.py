"""The teacher of s1-pocket: a program that thinks in its words, and checks what it does not.

It drafts in leaps, as the model does, and now and then slips. After "Wait" it checks one operation
at a time, sums too: the model checks sums in the leaps of its draft, which finds nothing. It mostly
goes on until nothing is left to check, but may stop before, so that some of its answers are wrong;
and at times it checks all once more, so that a forced "Wait" is nothing new.

    3+7-2*9+5=7
    Wait, check:
    3+7=0-2=8*9=2+5=7:7 ok so 7

It answers the bodies of chat requests, for `engine = "python"` of `thinkbudget curate`; a question
always gets the same reply.
"""

import random
from typing import Any

from scheduler.errors import InvalidRequest
from training.pocket.examples import ChainThoughts, SumThoughts
from training.pocket.problems import Problem, Step, read_problem
from training.pocket.tokenizer import CHECK, FINAL_ANSWER, FIX, OK, SO, WAIT

PATIENCE = 0.75
"""The chance of another check while something is left to check."""
DOUBT = 0.25
"""The chance of another check when nothing is left."""
MOST_CHECKS = 8
VERSION = 1
"""Part of every request: what another version answered is not used again."""


class ChainTeacher(ChainThoughts):
    slipping = 0.3

    @property
    def is_done(self) -> bool:
        return self.checked == len(self.problem.steps)


class SumTeacher(SumThoughts):
    slipping = 0.3
    is_done = False

    def check(self) -> None:
        """Work out every leap of the draft by single operations; stop at the first fix."""
        self.word(CHECK)
        self.write(f"\n{self.problem.start}")
        value = self.problem.start
        for number, leap in enumerate(self.leaps, start=1):
            value = self.work_out(value, leap)
            self.write(":")
            self.word(str(self.values[number].held), "quote")
            if not self.values[number].is_true:
                self.word(FIX, "fix")
                self.write(" ")
                self.values[number] = self.values[number]._replace(held=value)
                self.hold(self.values[number], "text")
                self.draft_after(number)
                break
            self.word(OK, "ok")
        else:
            self.is_done = True
        self.word(SO)
        self.write(" ")
        self.hold(self.values[-1], "text")

    def work_out(self, value: int, leap: Step) -> int:
        for operation in leap:
            value = operation.apply(value)
            self.write(f"{operation.text}=")
            self.word(str(value), "check")
        return value


TEACHERS: dict[str, type[ChainTeacher] | type[SumTeacher]] = {
    "chain": ChainTeacher,
    "sum": SumTeacher,
}


def think(problem: Problem, rng: random.Random) -> ChainTeacher | SumTeacher:
    """Thoughts about a problem: a draft, and checks while patience lasts."""
    thoughts = TEACHERS[problem.family](problem, rng)
    thoughts.draft()
    for _ in range(MOST_CHECKS):
        if rng.random() >= (DOUBT if thoughts.is_done else PATIENCE):
            break
        thoughts.write("\n")
        thoughts.word(WAIT)
        thoughts.check()
    return thoughts


async def answer(body: dict[str, Any]) -> dict[str, Any]:
    """The chat completion to a request. Raises InvalidRequest for what is no such question."""
    question = str(body["messages"][-1]["content"])
    try:
        problem = read_problem(question)
    except ValueError as error:
        raise InvalidRequest(str(error), field="messages") from None
    thoughts = think(problem, random.Random(f"teacher {question}"))
    text = "".join(piece.text for piece in thoughts.pieces)
    return completion(text, f"{FINAL_ANSWER} {thoughts.last.held}", len(thoughts.pieces))


def completion(thinking: str, content: str, tokens: int) -> dict[str, Any]:
    message = {"role": "assistant", "reasoning_content": thinking, "content": content}
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": tokens},
    }
