"""Answers queries: picks the class's curve, opens an account, solves, settles, learns, logs.

A plain class; Ray, HTTP and the command line are coats around it.
"""

import asyncio
import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TextIO

from policies.base import Policy, Query
from scheduler.curvebook import Book, Seen
from scheduler.errors import DeadlineExceeded, InvalidRequest, Overloaded
from scheduler.ledger import Ledger
from scheduler.outcome import Outcome, conclude, observation
from scheduler.pricing import Pricing
from scheduler.query_classes import QueryClasses
from scheduler.run import Run
from scheduler.solve import Means, Watch, solve
from workers.engine import Engine, EngineInfo, Refused

log = logging.getLogger("thinkbudget")


@dataclass(slots=True)
class Controller:
    """`policy` is the one used unless a query brings its own, be it only with its own price.

    `violations` counts, by kind, the parts of budgets that chains have broken: none, but for bugs.
    """

    engine: Engine
    info: EngineInfo
    policy: Policy
    book: Book
    pricing: Pricing
    ledger: Ledger = field(default_factory=Ledger)
    seed: int = 0
    outcomes: TextIO | None = None
    classes: QueryClasses | None = None
    violations: Counter[str] = field(default_factory=Counter)
    _active: int = 0

    async def answer(
        self,
        query: Query,
        *,
        policy: Policy | None = None,
        watch: Watch | None = None,
        learn: bool = True,
        tenant: str = "",
    ) -> Outcome:
        """The outcome of one query. `watch` is shown the thinking live; `learn` updates the curve.

        `tenant` is whose tokens these are, where several share the engines.

        Raises InvalidRequest when the engine refuses the query, Overloaded when none is there.
        """
        policy = policy or self.policy
        rng = Random(f"{self.seed}/{query.id}")
        load = self._active / self.info.slots
        run = Run(
            query=query,
            account=self.ledger.open(query.limits.max_total_tokens),
            max_thinking_tokens=self.info.max_model_len,
            curve=self.book.curve(self.info.model, query.query_class),
            price=getattr(policy, "price", None) or self.pricing.now(load=load, tenant=tenant),
            load=load,
            clock=asyncio.get_running_loop().time,
        )
        self._active += 1
        try:
            stop = await solve(run, Means(self.engine, policy, rng, watch))
        except Refused as refused:
            # What is not of the question was asked for as an option.
            place = "" if refused.field == "messages" else "thinkbudget."
            raise InvalidRequest(
                refused.why, field=place + refused.field, code=refused.code
            ) from refused
        finally:
            self._active -= 1
        if stop.reason == "budget" and not run.records:
            raise InvalidRequest(
                f"{run.account.left} tokens are left for this request, too few for any answer",
                field="thinkbudget.max_total_tokens",
                code="budget_too_small",
            )
        if stop.reason == "deadline" and not run.samples:
            raise DeadlineExceeded(query.limits.deadline_seconds)
        if stop.reason == "failed":
            raise Overloaded("no engine could finish a sample of this request; try again")
        outcome = conclude(run, stop, model=self.info.model, policy=policy.name)
        self.pricing.settle(
            outcome.tokens.total, tenant=tenant, predicted=outcome.chance, right=outcome.correct
        )
        self._settle(run, outcome, learn)
        return outcome

    def _settle(self, run: Run, outcome: Outcome, learn: bool) -> None:
        for violation in outcome.violations:
            log.error("query %s: a chain broke its budget: %s", outcome.query.id, violation)
            self.violations[violation] += 1
        if learn and (seen := observation(run)) is not None:
            self.book.observe(Seen(self.info.model, seen, run.price))
        if self.outcomes is not None:
            self.outcomes.write(json.dumps(outcome.as_dict()) + "\n")
            self.outcomes.flush()
