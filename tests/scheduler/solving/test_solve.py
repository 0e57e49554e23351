"""Decide, draw, tally, on an engine that works, that dies, and that is too slow."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from random import Random

import pytest

from policies.adaptive_consistency import AdaptiveConsistency
from policies.base import Decision, Draw, Extend, Limits, Policy, Situation, Stop
from policies.fixed import Fixed
from policies.majority import Majority
from policies.plan import Budget
from policies.priced import Priced
from scheduler.errors import PolicyFailed
from scheduler.solving.outcome import build_outcome
from scheduler.solving.rounds import DecisionStep, LiveEvent
from scheduler.solving.run import QueryRun
from scheduler.solving.solve import CANCEL_REPORT_SECONDS, solve
from tests.scheduler.simulation import make_run
from workers.completion import CompletionEvent, CompletionRequest
from workers.engine import Engine, EngineEvent, EngineInfo, Load, SampleRequest
from workers.sample import Accepted, Delta, Sample
from workers.simulated.engine import SimulatedEngine

BUDGET = Budget(2000)


@dataclass
class Extensions(Policy):
    """A greedy chain and that many extensions, one at a time."""

    extensions: int
    name: str = "extensions"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if not situation.tally.history:
            return Draw(1, BUDGET, 0.0)
        if situation.tally.history[-1].extensions == self.extensions:
            return Stop("plan done")
        return Extend(0, 1, BUDGET, 0.0)


@dataclass
class Operated(Policy):
    """Another policy, with an operator who revives the engine before every decision."""

    engine: SimulatedEngine
    policy: Policy
    name: str = "operated"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        self.engine.revive()
        return self.policy.decide(situation, rng)


class Broken(Policy):
    """Fails as soon as it sees a vote."""

    name = "broken"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if situation.tally.history:
            raise LookupError("a bug")
        return Draw(4, BUDGET)


@dataclass
class Deaf:
    """Finishes the first chain, never the others, and does not listen to `cancel`."""

    model: str = "deaf"
    closed: list[str] = field(default_factory=list)

    async def info(self) -> EngineInfo:
        return EngineInfo(self.model, "s1", 4096, 1.0, 4)

    async def load(self) -> Load:
        return Load(0, 0, 0.0)

    def stats(self) -> dict[str, int]:
        return {}

    async def check(self) -> None:
        """Well, as far as it knows."""

    async def cancel(self, query: str, chain: int | None = None) -> None:
        """Not heard."""

    async def conclude(self, query: str, chain: int) -> None:
        """Not heard either."""

    def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        raise AssertionError("no completion is asked for")

    async def close(self) -> None:
        """Nothing to close."""

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        yield Accepted(3)
        yield Sample(0, "", "Final Answer: 7", "7", "natural", 10, 6, generated_tokens=16)
        try:
            await asyncio.Event().wait()
        finally:
            self.closed.append(request.query)


def solved(run: QueryRun, policy: Policy, engine: Engine | None = None) -> "asyncio.Task[Stop]":
    engine = engine or SimulatedEngine()
    return asyncio.create_task(solve(run, engine=engine, policy=policy, rng=Random(0)))


async def others() -> set["asyncio.Task[object]"]:
    """The tasks that still run beside this one, once the loop had time to end the cancelled."""
    for _ in range(5):
        await asyncio.sleep(0)
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_majority_draws_all_its_chains_and_stops() -> None:
    run = make_run("medium question")
    assert await solved(run, Majority(samples=5)) == Stop("plan done")
    assert {vote.chain for vote in run.tally.votes} == {0, 1, 2, 3, 4}
    assert run.account.spent == run.tokens == run.tally.tokens > 0
    assert run.account.reserved == 0


async def test_a_settled_vote_cancels_the_rest_of_its_round_and_counts_what_it_cost() -> None:
    run = make_run("easy question")
    assert await solved(run, AdaptiveConsistency(samples_per_round=16)) == Stop("settled")
    cancelled = [r.sample for r in run.records if r.sample.stop_cause == "cancelled"]
    assert len(run.records) == 16
    assert len(cancelled) + len(run.tally.votes) == 16
    assert len(cancelled) > 4
    assert sum(sample.tokens for sample in cancelled) > 0
    assert run.account.spent == run.tokens > run.tally.tokens


async def test_an_extension_goes_on_with_its_chain() -> None:
    run, whole = make_run("medium question"), make_run("medium question")
    assert await solved(run, Extensions(2)) == Stop("plan done")
    await solved(whole, Fixed(extensions=2))
    history = run.tally.history
    assert [vote.extensions for vote in history] == [0, 1, 2]
    assert len(run.tally.votes) == 1
    lengths = [vote.thinking_tokens for vote in history]
    assert lengths == sorted(set(lengths))
    # The same greedy chain as one asked for both extensions at once, two answers dearer.
    assert run.tally.leader == whole.tally.leader
    assert history[-1].thinking_tokens == whole.tally.history[-1].thinking_tokens
    assert run.account.spent == history[-1].tokens == lengths[-1] + 3 * 6


async def test_lost_chains_are_drawn_again_once_the_engine_is_back() -> None:
    engine, run = SimulatedEngine(), make_run("hopeless question")
    asyncio.get_running_loop().call_later(0.06, engine.kill)
    stop = await solved(run, Operated(engine, Majority(samples=4)), engine)
    lost = [r.sample for r in run.records if r.sample.stop_cause == "lost"]
    assert stop == Stop("plan done")
    assert {sample.chain for sample in lost} == {0, 1, 2, 3}
    assert {vote.chain for vote in run.tally.votes} == {4, 5, 6, 7}
    assert run.account.spent == sum(s.tokens for s in lost) + run.tally.tokens
    assert sum(sample.tokens for sample in lost) > 0


async def test_three_lost_rounds_fail() -> None:
    engine, run = SimulatedEngine(), make_run()
    engine.kill()
    assert await solved(run, Majority(samples=2), engine) == Stop("failed")
    assert len(run.records) == 6
    assert run.account.spent == run.account.reserved == 0


async def test_a_chain_that_was_lost_once_may_be_extended_on() -> None:
    engine, run = SimulatedEngine(), make_run("easy question")
    # The first pass takes 21 to 39 ms, the first Wait as long again.
    asyncio.get_running_loop().call_later(0.045, engine.kill)
    stop = await solved(run, Operated(engine, Extensions(4)), engine)
    assert [r.sample.stop_cause for r in run.records].count("lost") == 1
    assert stop == Stop("plan done")
    assert run.tally.history[-1].extensions == 4


async def test_a_deadline_ends_with_the_best_answer_so_far() -> None:
    run = make_run("easy question", limits=Limits(deadline_seconds=0.1))
    stop = await solved(run, Majority(samples=16), SimulatedEngine(slots=1))
    assert stop == Stop("deadline")
    assert run.seconds == pytest.approx(0.1)
    assert 1 <= len(run.tally.votes) < 16
    outcome = build_outcome(run, stop, model="simulated", policy="majority")
    assert outcome.stop_reason == "deadline"
    assert outcome.answer == run.tally.leader is not None
    assert run.account.spent == run.tokens
    assert await others() == set()


async def test_an_engine_that_does_not_cancel_is_left_soon_after_the_deadline() -> None:
    engine, run = Deaf(), make_run(limits=Limits(deadline_seconds=1.0))
    assert await solved(run, Majority(samples=4), engine) == Stop("deadline")
    assert run.seconds == pytest.approx(1.0 + CANCEL_REPORT_SECONDS)
    assert run.tally.leader == "7"
    assert (run.account.spent, run.account.reserved) == (16, 0)
    assert engine.closed == ["q"]
    assert await others() == set()


async def test_a_query_that_ends_in_time_leaves_no_timer() -> None:
    run = make_run(limits=Limits(deadline_seconds=1000.0))
    assert await solved(run, Fixed()) == Stop("plan done")
    assert await others() == set()


@pytest.mark.parametrize("seed", range(6))
async def test_a_chain_that_has_filled_the_context_is_not_extended_for_ever(seed: int) -> None:
    limits = Limits(deadline_seconds=3.0)  # so that a failure ends, too
    run = make_run("hopeless question", limits=limits)
    policy = Priced(answer_tokens=4000)
    stop = await solve(run, engine=SimulatedEngine(), policy=policy, rng=Random(seed))
    assert stop.reason != "deadline"


async def test_a_limit_that_no_chain_fits_into_stops_before_anything_is_drawn() -> None:
    run = make_run(limits=Limits(max_total_tokens=20))
    assert await solved(run, Fixed()) == Stop("budget")
    assert run.records == []
    assert run.account.reserved == 0


async def test_an_error_of_the_policy_names_the_query_and_ends_the_round() -> None:
    run = make_run("medium question")
    with pytest.raises(PolicyFailed, match="query q: it raised LookupError: a bug"):
        await solved(run, Broken())
    assert run.account.reserved == 0
    assert await others() == set()


@pytest.mark.parametrize(("policy", "phases"), [(Fixed(), {"thinking", "answer"}),
                                                (Majority(samples=3), {"thinking"})])  # fmt: skip
async def test_the_first_chain_is_shown_live_and_its_answer_only_if_it_is_the_last_word(
    policy: Policy, phases: set[str]
) -> None:
    shown: list[LiveEvent] = []
    await solve(
        make_run(),
        engine=SimulatedEngine(),
        policy=policy,
        rng=Random(0),
        on_event=shown.append,
    )
    assert isinstance(shown[0], Accepted)
    deltas = [event for event in shown[1:] if isinstance(event, Delta)]
    samples = [event for event in shown[1:] if isinstance(event, Sample)]
    assert isinstance(shown[1], DecisionStep)
    assert {sample.chain for sample in samples} == {*shown[1].chains}
    assert len(deltas) + len(samples) == len(shown) - 2
    assert {delta.chain for delta in deltas} == {0}
    assert {delta.phase for delta in deltas} == phases
