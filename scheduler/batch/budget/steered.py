"""One budget for a job that asks an endpoint: one pass, a steered price, and a hard cap.

Every line reserves tokens before it is sent, and sends the reservation as its own limit. So what is
spent and what is under way never exceed the budget together.
"""

from collections.abc import Callable
from typing import Any

from policies.price import Price
from scheduler.batch.asking import Answer, completed, leaves_policy_open, output_line, tokens_in
from scheduler.batch.ended import EXHAUSTED, JobEnded
from scheduler.batch.inputs.row import Row
from scheduler.batch.job import AnsweredRow
from scheduler.solving.ledger import Ledger

LEAST_TOKENS = 64
"""Below this a line is not worth sending."""
GENEROUS = 8
"""How many times its even share of the budget a line may take."""


class SteeredBudget:
    """Shares `tokens` among `rows` lines, half an even share of every later one kept back.

    `seconds_left` is what the job still has; None: no end.
    """

    def __init__(
        self,
        answer: Answer,
        options: dict[str, Any],
        *,
        tokens: int | None,
        rows: int,
        seconds_left: Callable[[], float | None] = lambda: None,
        accuracy: float | None = None,
    ) -> None:
        self._answer, self._options = answer, options
        self._ledger, self._rows, self._running = Ledger(limit=tokens), rows, 0
        self._seconds_left, self._accuracy = seconds_left, accuracy
        self._price = Price.for_job(tokens, rows) if tokens is not None and rows else None

    @property
    def spent(self) -> int:
        return self._ledger.spent

    async def ask(self, row: Row) -> AnsweredRow:
        """Raises JobEnded where nothing is left for a line."""
        account, share = self._ledger.open(), 0
        if self._ledger.limit is not None:
            waiting = max(1, self._rows - self._running)
            even = (account.left or 0) // waiting
            share = max(LEAST_TOKENS, GENEROUS * even)
            await account.room(share)
            kept = max(0, self._rows - self._running - 1) * even // 2
            share = min(share, (account.left or 0) - kept)
            if share < LEAST_TOKENS:
                raise JobEnded(_exhausted(self._ledger, self._rows), EXHAUSTED)
            account.reserve(share)
        spent = 0
        self._running += 1
        try:
            reply = await self._answer(self._body(row, share))
            spent = tokens_in(reply)
        finally:
            self._running -= 1
            account.settle(reserved=share, spent=spent)
        self._rows -= 1
        if self._price is not None:
            self._price = self._price.after(spent)
        return AnsweredRow(output_line(row.custom_id, reply), spent)

    def _body(self, row: Row, share: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        if share:
            own["max_total_tokens"] = share
        if (left := self._seconds_left()) is not None:
            own["deadline_seconds"] = max(0.001, left)
        if self._accuracy is not None:
            own["target_accuracy"] = self._accuracy
        if self._price is not None and leaves_policy_open(row.body):
            own |= {"policy": "priced", "price": self._price.per_token}
        body = completed(row.body, self._options | own)
        stated = (row.body.get("thinkbudget") or {}).get("max_total_tokens")
        if share and isinstance(stated, int) and stated > share:
            body["thinkbudget"] = body["thinkbudget"] | {"max_total_tokens": share}
        return body


def _exhausted(ledger: Ledger, rows: int) -> str:
    return (
        f"the budget of {ledger.limit} tokens is spent ({ledger.spent}), with {rows} rows to go; "
        "a larger --budget-tokens and the same command go on"
    )
