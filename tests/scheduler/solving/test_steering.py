"""Policies that listen to running chains, and the paper's baselines, on an engine of known law."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from policies import build
from policies.base import Conclude, Decision, Draw, Limits, Policy, Situation, Stop
from policies.plan import Budget
from policies.signals import Probing
from scheduler.solving.outcome import Outcome, build_outcome, observation
from scheduler.solving.run import QueryRun
from scheduler.solving.solve import solve
from tests.scheduler.simulation import make_run
from workers.engine import EngineEvent, SampleRequest
from workers.replayed import ReplayedEngine
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import law_of, questions, reference

ASKED = questions(120, seed=3)


async def answered(
    policy: str, question: str = "hard question", *, engine: Any = None, **options: Any
) -> tuple[QueryRun, Outcome]:
    limits = options.pop("limits", None)
    run = make_run(question, limits=limits, reference=reference(question))
    built = build(policy, **options)
    stop = await solve(run, engine=engine or SimulatedEngine(), policy=built, rng=Random(0))
    assert run.account.reserved == 0
    await run.answers.grade(run.records, run.query.reference)
    outcome = build_outcome(run, stop, model="simulated", policy=policy)
    assert outcome.tokens.total == run.tokens == run.account.spent
    return run, outcome


def all_answered(policy: str, asked: list[dict[str, str]] = ASKED, **options: Any) -> list[Outcome]:
    async def main() -> list[Outcome]:
        return [(await answered(policy, q["question"], **options))[1] for q in asked]

    return run_virtual(main())


def accuracy(outcomes: list[Outcome]) -> float:
    return sum(bool(outcome.correct) for outcome in outcomes) / len(outcomes)


def reasoning(outcomes: list[Outcome]) -> int:
    return sum(outcome.tokens.reasoning for outcome in outcomes)


class Noted(SimulatedEngine):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[SampleRequest] = []

    def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        self.requests.append(request)
        return super().sample(request)


@dataclass
class Listener(Policy):
    """Concludes every chain at its first trial answer, and tells what it saw."""

    seen: list[tuple[int, int, int]] = field(default_factory=list)
    name: str = "listener"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        votes, probes = situation.tally.votes, situation.probes
        self.seen.append((situation.pending, len(votes), len(probes)))
        if probes:
            return Conclude(probes[0].chain)
        if len(votes) == 3:
            return Stop("plan done")
        return Draw(3, Budget(500), probing=Probing(at=(10,)))


async def test_every_chain_is_concluded_once_and_alone() -> None:
    run, policy = make_run("hopeless question"), Listener()
    stop = await solve(run, engine=SimulatedEngine(), policy=policy, rng=Random(0))
    assert stop == Stop("plan done")
    assert [r.sample.stop_cause for r in run.records] == ["early_exit"] * 3
    assert {r.sample.thinking_tokens for r in run.records} == {10}
    assert policy.seen[0] == (0, 0, 0)
    assert max(probes for *_, probes in policy.seen) == 1
    assert run.account.reserved == 0


async def test_a_conclude_for_a_chain_that_does_not_run_means_go_on() -> None:
    class Confused(Listener):
        def decide(self, situation: Situation, rng: Random) -> Decision:
            decision = Listener.decide(self, situation, rng)
            return Conclude(99) if isinstance(decision, Conclude) else decision

    run = make_run("hopeless question")
    await solve(run, engine=SimulatedEngine(), policy=Confused(), rng=Random(0))
    assert [r.sample.stop_cause for r in run.records] == ["natural"] * 3


@pytest.mark.parametrize("policy", ["dynasor", "deer"])
def test_an_early_exit_saves_thinking_and_keeps_the_accuracy(policy: str) -> None:
    slow = [q for q in ASKED if law_of(q["question"]) in ("hard", "hopeless")]
    options = {"probe_every": 16} if policy == "dynasor" else {}
    found, plain = all_answered(policy, slow, **options), all_answered("fixed", slow)
    exits = [o for o in found if o.stop_reason == "settled"]
    assert len(exits) > 0.5 * len(slow)
    assert reasoning(found) < 0.85 * reasoning(plain)
    assert accuracy(found) == pytest.approx(accuracy(plain), abs=0.1)
    assert all(outcome.tokens.probe > 0 for outcome in exits)
    assert sum(outcome.tokens.probe for outcome in found) > 0


async def test_a_chain_that_never_agrees_is_a_plain_one_and_its_probes() -> None:
    _, found = await answered("dynasor", probe_every=10, agree=1000)
    _, plain = await answered("fixed")
    assert found.stop_reason == "plan done"
    assert found.answer == plain.answer
    assert found.tokens == plain.tokens._replace(probe=found.tokens.probe)


def test_deer_leaves_off_the_waits_and_what_they_would_have_repaired() -> None:
    found = all_answered("deer", extensions=3)
    plain = all_answered("fixed", extensions=3)
    assert reasoning(found) < 0.7 * reasoning(plain)
    assert accuracy(found) < accuracy(plain)


@pytest.mark.slow
def test_deepconf_votes_by_confidence_and_beats_equal_votes() -> None:
    hard = [q for q in ASKED if law_of(q["question"]) != "easy"]
    sure = all_answered("deepconf", hard, samples=16, keep=0.25)
    equal = all_answered("majority", hard, samples=16)
    assert accuracy(sure) > accuracy(equal)
    assert [o.tokens for o in sure] == [o.tokens for o in equal]


@pytest.mark.slow
def test_deepconf_online_spends_less_than_all_its_votes() -> None:
    hard = [q for q in ASKED if law_of(q["question"]) != "easy"]
    online = all_answered("deepconf_online", hard, samples=16, warmup=6, keep=0.5)
    offline = all_answered("deepconf", hard, samples=16, measure="lowest", keep=0.5)
    spent = sum(o.tokens.total for o in online) / sum(o.tokens.total for o in offline)
    assert spent < 0.85
    assert accuracy(online) > accuracy(offline) - 0.1
    causes = {r.sample.stop_cause for o in online for r in o.records}
    assert causes >= {"natural", "unsure"}
    assert sum(o.tokens.discarded for o in online) > 0


async def test_rejection_sampling_takes_the_first_try_that_fits() -> None:
    found = {}
    for size in (1, 5):
        run, outcome = await answered(
            "rejection_sampling", max_thinking_tokens=70, samples_per_round=size, max_tries=40
        )
        tries = [r.sample for r in run.records if r.sample.stop_cause != "cancelled"]
        assert {t.stop_cause for t in tries} == {"natural", "rejected"}
        assert outcome.stop_reason == "settled"
        assert outcome.chosen is not None and outcome.chosen.thinking_tokens <= 70
        assert outcome.tokens.reasoning == sum(
            t.thinking_tokens for t in tries if t.stop_cause == "natural"
        )
        found[size] = (outcome.answer, outcome.chosen.chain, outcome.agreement)
        assert observation(run) is None
    # Tries side by side find what tries one after another would have found.
    assert found[1] == found[5]


async def test_tries_that_are_all_rejected_leave_no_answer_but_their_record() -> None:
    run, outcome = await answered("rejection_sampling", max_thinking_tokens=5, max_tries=7)
    assert (outcome.stop_reason, outcome.answer) == ("no try accepted", None)
    assert (outcome.chosen, outcome.correct) == (None, False)
    lines = outcome.as_dict()["samples"]
    assert [line["stop_cause"] for line in lines] == ["rejected"] * 7
    assert {(line["thinking_tokens"], line["answer"]) for line in lines} == {(5, None)}
    assert outcome.tokens._asdict() == {
        "reasoning": 0, "answer": 0, "forced": 0, "probe": 0, "discarded": 35,
    }  # fmt: skip
    assert len(run.tally.history) == 7


@pytest.mark.parametrize(
    ("policy", "options", "cap"),
    [
        ("token_conditional", {"tokens": 40, "forced": True}, 40),
        ("step_conditional", {"steps": 1, "forced": True}, 100),
        ("class_conditional", {"length": "long"}, None),
    ],
)
async def test_a_wish_reaches_the_engine_and_its_chains_teach_nothing(
    policy: str, options: dict[str, Any], cap: int | None
) -> None:
    engine = Noted()
    run, outcome = await answered(policy, "hopeless question", engine=engine, **options)
    (asked,) = engine.requests
    assert asked.suffix.startswith("\n\n")
    assert outcome.answer is not None
    if cap is not None:
        assert outcome.chosen is not None and outcome.chosen.thinking_tokens <= cap
    assert observation(run) is None


LISTENERS: list[tuple[str, dict[str, Any]]] = [
    ("dynasor", {"probe_every": 8}),
    ("deer", {"extensions": 2}),
    ("deepconf", {"samples": 9}),
    ("deepconf_online", {"samples": 9, "warmup": 4}),
    ("rejection_sampling", {"max_thinking_tokens": 60}),
    ("token_conditional", {"tokens": 50, "forced": True}),
]


@pytest.mark.parametrize("limit", [60, 150, 400, 2000])
@pytest.mark.parametrize(("policy", "options"), LISTENERS)
async def test_a_limit_bounds_probes_and_tries_too(
    policy: str, options: dict[str, Any], limit: int
) -> None:
    run, _ = await answered(policy, limits=Limits(max_total_tokens=limit), **options)
    assert 0 < run.account.spent <= limit


@pytest.mark.parametrize(("policy", "options"), LISTENERS)
async def test_an_engine_that_dies_leaves_nothing_reserved(
    policy: str, options: dict[str, Any]
) -> None:
    engine = SimulatedEngine()
    asyncio.get_running_loop().call_later(0.02, engine.kill)
    _, outcome = await answered(policy, engine=engine, **options)
    assert outcome.stop_reason == "failed"
    assert outcome.tokens.discarded > 0


async def test_a_recorded_run_can_be_replayed_with_another_rule() -> None:
    lines = []
    for asked in ASKED[:20]:
        _, outcome = await answered("dynasor", asked["question"], probe_every=8, agree=1000)
        lines.append(json.loads(json.dumps(outcome.as_dict())))
    replayed = ReplayedEngine(lines)
    for asked in ASKED[:20]:
        rule: dict[str, Any] = {"probe_every": 16, "agree": 2}
        _, live = await answered("dynasor", asked["question"], **rule)
        _, again = await answered("dynasor", asked["question"], engine=replayed, **rule)
        assert (again.answer, again.stop_reason) == (live.answer, live.stop_reason)
        assert again.tokens.probe == live.tokens.probe
        assert again.tokens.total == live.tokens.total
        replayed = ReplayedEngine(lines)
