"""Whether what a thinking about a question holds is true, step by step: the verifier's labels.

A value is what stands after "=", "so" or "fix". It is true if the question gives it to that place:
a name's by its name, one inside a step by the operations that were written since. A digit after a
colon quotes an earlier value and is no new one. After a step the thinking is right if the last
value that was written is true.
"""

import re
from string import ascii_lowercase

from training.pocket.problems import Operation, Problem, Sign
from workers.verifier.steps import step_ends

_PIECE = re.compile(
    r"(?P<name>[a-z])(?P<mark>[=:])(?P<value>\d)"
    r"|(?P<sign>[-+*])(?P<operand>\d)"
    r"|(?P<quote>:\d)"
    r"|(?P<bare>\d)"
    r"|(?P<line>\n)"
)
_SIGNS: dict[str, Sign] = {"+": "+", "-": "-", "*": "*"}


class _Reader:
    """Follows a thinking: the true value at the present place, and whether the last one was."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.is_chain = problem.family == "chain"
        self.is_true = True
        self.stand(0)

    def stand(self, place: int) -> None:
        """Stand at a named value; of a sum, there is only its start."""
        self.true: int | None = self.problem.values[place]
        steps = self.problem.steps
        self.left = list(steps[place]) if place < len(steps) else []

    def operate(self, operation: Operation) -> None:
        expected = self.left.pop(0) if self.left else None
        if self.true is not None:
            self.true = operation.apply(self.true) if operation == expected else None

    def read(self, piece: re.Match[str], before: str) -> None:
        if piece["name"] and self.is_chain:
            place = ascii_lowercase.index(piece["name"])
            if place >= len(self.problem.values):
                self.is_true = False
                return
            self.stand(place)
            if piece["mark"] == "=":
                self.is_true = int(piece["value"]) == self.true
        elif piece["sign"]:
            self.operate(Operation(_SIGNS[piece["sign"]], int(piece["operand"])))
        elif piece["bare"]:
            true = self.problem.answer if before.endswith("so ") else self.true
            self.is_true = int(piece["bare"]) == true
        elif piece["line"] and not self.is_chain:
            self.stand(0)


def labels(problem: Problem, thinking: str) -> list[bool]:
    """For every step of `step_ends` whether the thinking is right after it."""
    reader = _Reader(problem)
    found: list[bool] = []
    pieces = list(_PIECE.finditer(thinking))
    at = 0
    for end in step_ends(thinking):
        while at < len(pieces) and pieces[at].end() <= end:
            reader.read(pieces[at], thinking[: pieces[at].start()])
            at += 1
        found.append(reader.is_true)
    return found
