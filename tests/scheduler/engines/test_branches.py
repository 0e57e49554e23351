"""Branches of a paused chain go on from its tokens, be it on another engine after a death."""

import asyncio
from dataclasses import replace

from policies.plan import Budget
from policies.sampling import SamplingParams
from tests.scheduler.engines.test_failover import FaultHarness, samples, unmoved
from tests.scheduler.engines.test_no_request_lost import engine
from workers.engine import SampleRequest
from workers.sample import Sample
from workers.simulated.clock import run_virtual

STEP = Budget(300, 250, answer_tokens=20, step_tokens=40)
FIRST = SampleRequest("q", (("user", "why?"),), (0,), STEP, SamplingParams(1.0))


async def paused(harness: FaultHarness) -> Sample:
    return samples(await harness.ask(FIRST))[0]


async def branched(*, killed: bool) -> tuple[Sample, dict[int, Sample]]:
    harness = FaultHarness.of(["a", "b"], make=engine)
    parent = await paused(harness)
    longer = replace(STEP, step_tokens=100)
    task = harness.ask(replace(FIRST, chains=(1, 2), parents=(parent, parent), budget=longer))
    await asyncio.sleep(0.8)
    if killed:
        harness.pool.kill(harness.home())
    found = samples(await task)
    await harness.engine.close()
    return parent, found


def test_branches_think_on_from_the_parents_tokens_and_pay_only_for_their_own() -> None:
    parent, found = run_virtual(branched(killed=False))
    assert (parent.stop_cause, parent.thinking_tokens, parent.answer) == ("paused", 40, None)
    for sample in found.values():
        assert sample.thinking_ids[:40] == parent.thinking_ids
        own = sample.thinking_tokens - 40 + sample.answer_tokens + sample.discarded_tokens
        assert sample.generated_tokens == own
        assert sample.thinking_tokens <= 140
        assert sample.violations == ()


def test_a_branch_that_loses_its_engine_goes_on_to_the_token() -> None:
    _, whole = run_virtual(branched(killed=False))
    _, moved = run_virtual(branched(killed=True))
    assert {sample.migrations for sample in moved.values()} == {1}
    assert unmoved(moved) == unmoved(whole)


def test_concluded_branches_answer_at_once() -> None:
    async def main() -> tuple[Sample, Sample]:
        harness = FaultHarness.of(["a"], make=engine)
        parent = await paused(harness)
        plain = Budget(300, answer_tokens=20)
        asked = replace(FIRST, chains=(1,), parents=(parent,), budget=plain, conclude=True)
        found = samples(await harness.ask(asked))[1]
        await harness.engine.close()
        return parent, found

    parent, answered = run_virtual(main())
    assert answered.stop_cause == "early_exit"
    assert answered.thinking_ids == parent.thinking_ids
    assert answered.answer_tokens > 0
    assert answered.generated_tokens == answered.answer_tokens + answered.discarded_tokens
