"""The heart: decide, draw, tally, and decide again, until the policy says stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from random import Random
from typing import NamedTuple

from policies.base import Conclude, Policy, Stop
from scheduler.solving.run import QueryRun
from workers.engine import Engine
from workers.sample import Accepted, Delta, OnEvent, Probe, Sample

# An engine that has been told to cancel gets this long to say what the chains had cost.
CANCEL_SECONDS = 2.0


class Means(NamedTuple):
    """What a query is solved with. `on_event` sees the text that is to be shown live."""

    engine: Engine
    policy: Policy
    rng: Random
    on_event: OnEvent | None = None


async def solve(run: QueryRun, means: Means) -> Stop:
    """Answer `run.query`: the tally, the samples and their costs are left in `run`."""
    stop = Stop("deadline")
    async with _deadline(run, means.engine):
        stop = await _ask(run, means)
        if run.blocked() is None and (more := run.more()) and run.dispatch(more, stream=False):
            await _wave(run, means, steered=False)
    return stop


async def _ask(run: QueryRun, means: Means) -> Stop:
    while True:
        decision = means.policy.decide(run.situation(), means.rng)
        if isinstance(decision, Stop):
            return decision
        if not run.dispatch(decision, stream=means.on_event is not None):
            return Stop("budget")
        if stop := await _wave(run, means) or run.blocked():
            return stop


async def _wave(run: QueryRun, means: Means, *, steered: bool = True) -> Stop | None:
    """Sample what was dispatched; a policy that has seen enough cuts it short."""
    stop: Stop | None = None
    try:
        async with aclosing(means.engine.sample(run.request)) as events:
            async for event in events:
                if isinstance(event, Probe | Sample):
                    run.take(event)
                    if steered:
                        stop = stop or await _steer(run, means)
                elif isinstance(event, Accepted | Delta) and run.shows(event) and means.on_event:
                    means.on_event(event)
    finally:
        run.settle()
    return stop


async def _steer(run: QueryRun, means: Means) -> Stop | None:
    """Ask the policy while chains run: it may let one of them answer now, or end them all."""
    while run.pending:
        decision = means.policy.decide(run.situation(), means.rng)
        if isinstance(decision, Stop):
            await means.engine.cancel(run.query.id)
            return decision
        if not isinstance(decision, Conclude) or not run.conclude(decision.chain):
            break
        await means.engine.conclude(run.query.id, decision.chain)
    return None


@asynccontextmanager
async def _deadline(run: QueryRun, engine: Engine) -> AsyncIterator[None]:
    """Cancel the query's chains at its deadline; leave an engine that does not answer to that."""
    seconds = run.query.limits.deadline_seconds
    if seconds is None:
        yield
        return

    async def cancel() -> None:
        await asyncio.sleep(seconds)
        run.late = True
        await engine.cancel(run.query.id)

    timer = asyncio.create_task(cancel())
    try:
        async with asyncio.timeout(seconds + CANCEL_SECONDS):
            yield
    except TimeoutError:
        run.late = True
    finally:
        timer.cancel()
