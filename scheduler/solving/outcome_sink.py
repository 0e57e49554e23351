"""Where answered queries and their labels go, as the request path sees it: it never waits."""

from typing import Any, NamedTuple, Protocol


class SinkCounts(NamedTuple):
    """Of this process: lines and bytes that wait, and what became of the lines so far.

    `spooled` went to the spool, `written` to the store, `known` had been there before; `dropped`
    are lost: the spool was at its cap, or the store can never take them.
    """

    waiting: int
    waiting_bytes: int
    spooled: int
    written: int
    known: int
    dropped: int


class OutcomeSink(Protocol):
    """Takes lines, and brings them to the store in time."""

    def put_outcome(self, outcome: dict[str, Any], *, tenant: str, request_id: str | None) -> None:
        """Take an answered query (`Outcome.as_dict`)."""

    def put_label(self, outcome_id: str, reward: float, *, tenant: str, source: str) -> None:
        """Take a label that came after the reply."""

    @property
    def counts(self) -> SinkCounts: ...
