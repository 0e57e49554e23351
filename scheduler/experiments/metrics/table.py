"""Results as arrays: policies x questions, the seeds of a question added up.

A question is one unit of evidence however many seeds asked it: all intervals resample questions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from policies.curves.arrays import Floats


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """`asked`, `correct`, `tokens` and `seconds` are sums over seeds, policies x questions."""

    policies: tuple[str, ...]
    questions: tuple[str, ...]
    classes: tuple[str, ...]
    asked: Floats
    correct: Floats
    tokens: Floats
    seconds: Floats

    def place(self, policy: str) -> int:
        """Raises ValueError that names the policies there are."""
        if policy not in self.policies:
            raise ValueError(f"no policy {policy!r} in it; there are {', '.join(self.policies)}")
        return self.policies.index(policy)

    def of_class(self, name: str) -> "ScoreTable":
        """The questions of one class only."""
        places = [n for n, each in enumerate(self.classes) if each == name]
        return ScoreTable(
            self.policies,
            tuple(self.questions[n] for n in places),
            tuple(self.classes[n] for n in places),
            *(part[:, places] for part in (self.asked, self.correct, self.tokens, self.seconds)),
        )


def score_table(rows: Iterable[Mapping[str, Any]]) -> ScoreTable:
    """Of result rows; questions that could not be asked are left out, policies keep their order."""
    graded = [row for row in rows if row["correct"] is not None]
    policies = list(dict.fromkeys(row["policy"] for row in graded))
    classes = {_question(row): row["class"] for row in graded}
    at = {policy: number for number, policy in enumerate(policies)}
    place = {question: number for number, question in enumerate(classes)}
    sums = np.zeros((4, len(policies), len(classes)))
    if graded:
        where = [(at[row["policy"]], place[_question(row)]) for row in graded]
        values = np.array(
            [(1.0, row["correct"], row["tokens"], row.get("seconds") or 0.0) for row in graded]
        )
        rows_at, columns_at = np.array(where).T
        for kind in range(4):
            np.add.at(sums[kind], (rows_at, columns_at), values[:, kind])
    return ScoreTable(tuple(policies), tuple(classes), tuple(classes.values()), *sums)


def _question(row: Mapping[str, Any]) -> str:
    return f"{row.get('questions')}/{row.get('id')}"
