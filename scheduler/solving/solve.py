"""The core loop: decide, draw, count the votes, and decide again, until the policy says stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from random import Random

from policies.base import Conclude, Policy, Stop
from policies.signals import Probe
from scheduler.solving.decide import decide
from scheduler.solving.rewards import reward
from scheduler.solving.rounds import OnEvent
from scheduler.solving.run import QueryRun
from scheduler.solving.starts import worst_round
from workers.engine import Engine
from workers.sample import Accepted, Delta, Sample
from workers.verifier.base import Verifier

# After a cancel the engine has so many seconds to report what the chains cost.
CANCEL_REPORT_SECONDS = 2.0


async def solve(
    run: QueryRun,
    *,
    engine: Engine,
    policy: Policy,
    rng: Random,
    on_event: OnEvent | None = None,
    verifier: Verifier | None = None,
) -> Stop:
    """Answer `run.query`. The votes, the samples and their costs are left in `run`.

    `on_event` is called with what a caller may see of it. The `verifier` rewards the
    chains of every round, where the policy reads rewards. Raises VerifierFailed.
    """
    stop = Stop("deadline")
    judge = verifier if policy.options.reads_rewards else None
    async with _deadline(run, engine):
        stop = await _decide(run, engine, policy, rng, on_event, judge)
        choices = run.missing_choices() if run.blocked() is None else None
        if choices and run.dispatch(choices, stream=False, votes=False):
            await _round(run, engine, None, rng, on_event)
    return stop


async def _decide(
    run: QueryRun,
    engine: Engine,
    policy: Policy,
    rng: Random,
    on_event: OnEvent | None,
    verifier: Verifier | None,
) -> Stop:
    while True:
        decision = decide(policy, run, rng)
        if isinstance(decision, Stop):
            return decision
        if run.account.ledger.limit is not None and not isinstance(decision, Conclude):
            await run.account.room(worst_round(decision, run.query.limits, run.room))
        if not run.dispatch(decision, stream=on_event is not None):
            return Stop("budget")
        if stop := await _round(run, engine, policy, rng, on_event) or run.blocked():
            return stop
        if verifier is not None:
            await reward(run, verifier)
        if run.answers.is_open_ended and run.samples:
            return Stop("plan done")


async def _round(
    run: QueryRun, engine: Engine, policy: Policy | None, rng: Random, on_event: OnEvent | None
) -> Stop | None:
    """Sample what was dispatched. A policy may end the round early."""
    stop: Stop | None = None
    try:
        async with aclosing(engine.sample(run.request)) as events:
            async for event in events:
                if isinstance(event, Probe | Sample):
                    event = await run.answers.grouped(event)
                    run.take(event)
                    if on_event and isinstance(event, Sample):
                        on_event(event)
                    if policy:
                        stop = stop or await _steer(run, engine, policy, rng)
                elif isinstance(event, Accepted | Delta):
                    if run.shows(event) and on_event:
                        on_event(event)
                    if isinstance(event, Accepted) and on_event:
                        on_event(run.steps[-1])
    finally:
        run.settle()
    return stop


async def _steer(run: QueryRun, engine: Engine, policy: Policy, rng: Random) -> Stop | None:
    """Ask the policy while chains run: it may conclude one of them, or stop them all."""
    while run.pending:
        decision = decide(policy, run, rng)
        if isinstance(decision, Stop):
            await engine.cancel(run.engine_name)
            return decision
        if not isinstance(decision, Conclude) or not run.conclude(decision.chain):
            break
        await engine.conclude(run.engine_name, decision.chain)
    return None


@asynccontextmanager
async def _deadline(run: QueryRun, engine: Engine) -> AsyncIterator[None]:
    """Cancel the query's chains at its deadline; leave an engine that does not report in time."""
    seconds = run.query.limits.deadline_seconds
    if seconds is None:
        yield
        return

    async def cancel() -> None:
        await asyncio.sleep(seconds)
        run.late = True
        await engine.cancel(run.engine_name)

    timer = asyncio.create_task(cancel())
    try:
        async with asyncio.timeout(seconds + CANCEL_REPORT_SECONDS):
            yield
    except TimeoutError:
        run.late = True
    finally:
        timer.cancel()
