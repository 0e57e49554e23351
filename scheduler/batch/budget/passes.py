"""The log of one pass: where every row stands, with what it takes to go on with it.

A pass reads the log before it and writes its own. Rows that it has not come to stand as they were.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from policies.jobs.water_filling import MOST_PASSES
from scheduler.batch.durability.ids import IdSet
from scheduler.batch.durability.log import Log, open_log
from scheduler.batch.inputs.row import Row
from scheduler.batch.storage import Location


class Standing(NamedTuple):
    """What is counted over all rows: tokens spent on them, and how likely they are right."""

    rows: int
    tokens: int
    known: int
    right: float

    @property
    def accuracy(self) -> float | None:
        return self.right / self.known if self.known else None


class PassLogs:
    """The logs of the passes of a job beside its output, by number."""

    def __init__(self, out: Location) -> None:
        self._out = out

    def log(self, number: int) -> Log:
        return open_log(self._out.beside(f"{self._out.name}.pass-{number}"))

    @property
    def latest(self) -> int | None:
        """The number of the last pass that was begun; None before any."""
        begun = [number for number in range(MOST_PASSES + 1) if self.log(number).exists()]
        return max(begun, default=None)

    def newest(self, number: int) -> Iterator[bytes]:
        """Where every row stands while or after this pass is made."""
        ids = IdSet()
        for line in self.log(number).lines():
            ids.add(json.loads(line)["custom_id"])
            yield line
        if number:
            for line in self.log(number - 1).lines():
                if json.loads(line)["custom_id"] not in ids:
                    yield line

    def remove(self) -> None:
        for number in range(MOST_PASSES + 1):
            self.log(number).remove()


def rows_of(lines: Iterator[bytes]) -> Iterator[Row]:
    """The rows of a log, each with its record."""
    for line in lines:
        record = json.loads(line)
        yield Row(record["line"], record["custom_id"], record["body"], record)


def record_line(row: Row, reply: dict[str, Any], kept: dict[str, Any] | None) -> str:
    """`kept` of None: the row cannot be gone on with."""
    return json.dumps(
        {
            "custom_id": row.custom_id,
            "line": row.number,
            "body": row.body,
            "reply": reply,
            "kept": kept,
        }
    )


def standing(lines: Iterator[bytes]) -> Standing:
    """Of all rows of a log."""
    rows = tokens = known = 0
    right = 0.0
    for line in lines:
        reply = json.loads(line)["reply"]
        rows, tokens = rows + 1, tokens + int(reply["usage"]["completion_tokens"])
        if (chance := chance_of(reply)) is not None:
            known, right = known + 1, right + chance
    return Standing(rows, tokens, known, right)


def chance_of(reply: dict[str, Any]) -> float | None:
    """That a reply is right: as checked, else as predicted."""
    account = reply.get("thinkbudget") or {}
    correct, chance = account.get("correct"), account.get("chance")
    return float(correct) if correct is not None else chance
