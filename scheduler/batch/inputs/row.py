"""One row of a job's input, whatever kind of file it came from."""

from dataclasses import dataclass, field
from typing import Any

from scheduler.errors import InvalidRequest

URL = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Row:
    """`number` counts rows from 1: of a text file its line. `body` is a chat request.

    `kept` is where an earlier pass of the job has left it; empty: nowhere.
    """

    number: int
    custom_id: str
    body: dict[str, Any]
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be asked. `custom_id` is None where none could be made out."""

    number: int
    custom_id: str | None
    error: InvalidRequest


def checked_id(custom_id: object) -> str:
    if not isinstance(custom_id, str) or not custom_id:
        message = f"custom_id must be a text that is not empty, got {custom_id!r}"
        raise InvalidRequest(message, field="custom_id")
    return custom_id
