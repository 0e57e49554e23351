"""A candidate policy beside live traffic: it decides on every query and spends nothing.

It runs in a thread of its own once the query is answered, so no request waits for it, and the
outcome is logged with what it would have done. One that raises or stalls is switched off.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any

from policies.base import Policy
from scheduler.errors import PolicyFailed
from scheduler.solving.counterfactual import Followed, ServedQuery, follow
from scheduler.solving.metrics import Metrics
from scheduler.solving.outcome import Outcome
from scheduler.solving.run import QueryRun

log = logging.getLogger("thinkbudget")

MOST_WAITING = 256
"""Queries that wait for the candidate; it is not asked about further ones."""

Told = dict[str, Any] | None


@dataclass(slots=True)
class Shadow:
    """`off` is why the candidate is asked no more."""

    policy: Policy
    metrics: Metrics
    seed: int = 0
    off: str | None = None
    _thread: ThreadPoolExecutor = field(
        init=False, default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="shadow")
    )
    _asking: set[asyncio.Task[None]] = field(init=False, default_factory=set)

    @property
    def waiting(self) -> int:
        """Answered queries that are not logged yet."""
        return len(self._asking)

    def beside(self, run: QueryRun, outcome: Outcome, log_with: Callable[[Told], None]) -> None:
        """Ask the candidate about an answered query. `log_with` is called once, be it with None.

        Must be called where an event loop runs; `log_with` is called there.
        """
        if self.off is not None or self.waiting >= MOST_WAITING:
            log_with(None)
            return
        asking = self._ask(ServedQuery.of(run), outcome, log_with)
        task = asyncio.get_running_loop().create_task(asking)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def settled(self) -> None:
        """Until all that was answered is logged."""
        await asyncio.gather(*self._asking)

    async def _ask(
        self, served: ServedQuery, outcome: Outcome, log_with: Callable[[Told], None]
    ) -> None:
        told: Told = None
        try:
            if self.off is None:
                rng = Random(f"{self.seed}/{served.query.id}")
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._thread, follow, self.policy, served, rng)
                self._count(found, outcome)
                told = _told(self.policy.name, found)
        except Exception as error:
            self._switch_off(error)
        finally:
            log_with(told)

    def _switch_off(self, error: Exception) -> None:
        self.metrics.shadow_decisions.labels("failed").inc()
        if self.off is None:
            why = f"{type(error).__name__}: {error}"
            self.off = error.message if isinstance(error, PolicyFailed) else why
            log.error("the shadow policy is switched off: %s", self.off)

    def _count(self, found: Followed, outcome: Outcome) -> None:
        metrics, reached = self.metrics, found.outcome
        metrics.shadow_decisions.labels("agrees" if found.agrees else "differs").inc()
        if reached is None:
            metrics.shadow_answers.labels("unknown").inc()
            return
        same = reached.answer == outcome.answer
        metrics.shadow_answers.labels("same" if same else "other").inc()
        metrics.shadow_tokens.labels("served").inc(outcome.tokens.total)
        metrics.shadow_tokens.labels("shadow").inc(reached.tokens.total)


def _told(policy: str, found: Followed) -> dict[str, Any]:
    """As it is logged. What the served chains do not tell is None; `unknown` says why."""
    choice, forecast, reached = found.choice, found.forecast, found.outcome
    return {
        "policy": policy,
        "plan": choice.plan,
        "samples": choice.samples,
        "max_thinking_tokens": choice.max_thinking_tokens,
        "extensions": choice.extensions,
        "temperature": choice.temperature,
        "agrees": found.agrees,
        "predicted_accuracy": round(forecast.accuracy, 5) if forecast else None,
        "predicted_tokens": round(forecast.tokens, 2) if forecast else None,
        "answer": reached.answer if reached else None,
        "correct": reached.correct if reached else None,
        "tokens": reached.tokens.total if reached else None,
        "unknown": found.missing or None,
    }
