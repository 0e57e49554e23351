"""One row of a job in passes: its first answer, and how it goes on when the price falls."""

import json
import logging
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from scheduler.api import chat
from scheduler.batch.asking import completed, leaves_policy_open
from scheduler.batch.budget.passes import record_line
from scheduler.batch.inputs.row import Row
from scheduler.solving.continuing import Unfinished
from scheduler.solving.controller import Controller

log = logging.getLogger(__name__)


class RowStep(NamedTuple):
    """`line` is the row's record in the log of its pass, `tokens` what the step has cost.

    `reply` is None where the row stands as it did; `first_tokens` is the cost of its first chain.
    """

    line: str
    tokens: int = 0
    reply: dict[str, Any] | None = None
    first_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RowSteps:
    """`options` are the job's fields of `thinkbudget`, `model` is for rows that name none."""

    controller: Controller
    options: dict[str, Any]
    model: str

    async def begin(
        self, row: Row, price: float, limits: dict[str, Any], *, explores: bool
    ) -> RowStep:
        """`limits` are fields of `thinkbudget`, too. Raises RequestError."""
        is_open = leaves_policy_open(row.body)
        own = {"price": price} if is_open else {}
        if is_open and not explores:
            own["exploration"] = 0.0
        job = chat.prepare(self.controller, self._body(row, limits | own))
        outcome = await self.controller.answer(
            job.query, policy=job.policy, learn=job.learns, tenant=job.tenant
        )
        reply = chat.whole(job, outcome)
        can_go_on = is_open and job.policy.options.spends_by_price
        kept = Unfinished.of(outcome).as_dict() if can_go_on else None
        first = outcome.records[0].sample.tokens if outcome.records else 0
        return RowStep(record_line(row, reply, kept), outcome.tokens.total, reply, first)

    async def go_on(self, row: Row, *, price: float, limits: dict[str, Any]) -> RowStep:
        """Further where more pays at this price. What fails leaves the row as it was."""
        record = row.kept
        as_it_was = RowStep(json.dumps(record))
        if record["kept"] is None:
            return as_it_was
        try:
            earlier = Unfinished.from_dict(record["kept"])
            job = chat.prepare(self.controller, self._body(row, limits | {"price": price}))
            job = job._replace(query=replace(job.query, id=earlier.id))
            if not await self.controller.goes_on(job.query, policy=job.policy, earlier=earlier):
                return as_it_was
            outcome = await self.controller.answer(
                job.query, policy=job.policy, learn=job.learns, tenant=job.tenant, earlier=earlier
            )
        except Exception:  # it has an answer already
            log.exception("%s: the row keeps the answer that it has", row.custom_id)
            return as_it_was
        before = sum(each.sample.tokens for each in earlier.records)
        spent = outcome.tokens.total - before
        if outcome.chosen is None or not spent:
            return as_it_was._replace(tokens=spent)
        reply = chat.whole(job, outcome)
        return RowStep(record_line(row, reply, Unfinished.of(outcome).as_dict()), spent, reply)

    def _body(self, row: Row, own: dict[str, Any]) -> dict[str, Any]:
        body = completed(row.body, self.options | own)
        return body if body.get("model") is not None else body | {"model": self.model}
