"""Drivers agree with one another to the token, and end a chain in good order at any moment."""

import asyncio
import itertools
from dataclasses import replace
from random import Random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.plan import Budget
from tests.builders import changed
from tests.workers.letters import Letters
from workers.drivers.core import GenerateOptions
from workers.drivers.driver import DRIVERS, choose, why_not
from workers.drivers.running import Running, RunningOptions
from workers.engine import SampleRequest
from workers.forcing.chain import Chain
from workers.format import S1, S1_STEPS, bind
from workers.simulated.toy_core import ToyCore

LETTERS = Letters("<|im_end|>", "<|im_start|>", "Wa", ".\n")
FORMAT = bind(S1, LETTERS)
WORDS = [LETTERS.known[".\n"], *(1000 + ord(letter) for letter in "abcdefgWait\n ")]
VOCABULARY = 1000 + 128
NAMES = itertools.count()
OPTIONS = RunningOptions(GenerateOptions(), GenerateOptions())


def core(**changes: int) -> ToyCore:
    return ToyCore(FORMAT, WORDS, vocabulary=VOCABULARY, **changes)


def running(budget: Budget, prompt: list[int], *, room: int = 2000) -> Running:
    names = (f"request-{number}" for number in NAMES)
    return Running(Chain(FORMAT, budget, room), 0, prompt, OPTIONS, names.__next__)


def outcome(run: Running) -> tuple[object, ...]:
    chain = run.chain
    assert chain.violations() == ()
    return (
        chain.thinking,
        chain.closing,
        chain.answer,
        chain.extensions_used,
        chain.forced_tokens,
        chain.stop_cause,
        chain.reached_end_of_turn,
    )


def drive(name: str, run: Running, on: ToyCore) -> None:
    asyncio.run(asyncio.wait_for(DRIVERS[name](on, run), 20))


def budgets(rng: Random) -> Budget:
    cap = rng.choice((0, 1, 2, 5, 30, 100, 300))
    least = rng.randint(0, cap) if rng.random() < 0.3 else 0
    waits = 0 if least == cap else rng.randint(0, 8)
    text = rng.choice((None, None, "Hmm", "\nWait, "))
    return Budget(cap, least, waits, text, answer_tokens=rng.randint(1, 40))


@pytest.mark.parametrize("seed", range(60))
def test_all_drivers_give_the_same_tokens(seed: int) -> None:
    rng = Random(seed)
    budget, prompt = budgets(rng), [*rng.choices(WORDS, k=20), *FORMAT.start]
    runs = {name: running(budget, prompt) for name in DRIVERS}
    for name, run in runs.items():
        drive(name, run, core(one_in=rng.choice((20, 20, 20))))
    first, *others = [outcome(run) for run in runs.values()]
    assert all(other == first for other in others)


@pytest.mark.parametrize("seed", range(20))
def test_all_drivers_agree_where_the_context_ends(seed: int) -> None:
    rng = Random(seed)
    budget = replace(budgets(rng), max_thinking_tokens=300, answer_tokens=16)
    prompt = [*rng.choices(WORDS, k=20), *FORMAT.start]
    room = rng.randint(0, 40)
    closing = len(FORMAT.newline) + len(FORMAT.end_on_cut)
    size = len(prompt) + room + closing + budget.answer_tokens
    runs = {name: running(budget, prompt, room=room) for name in DRIVERS}
    for name, run in runs.items():
        drive(name, run, core(max_model_len=size))
    first, *others = [outcome(run) for run in runs.values()]
    assert all(other == first for other in others)


@given(
    seed=st.integers(0, 1000),
    moment=st.integers(0, 60),
    wish=st.sampled_from(["cancelled", "conclude"]),
    name=st.sampled_from(sorted(DRIVERS)),
)
def test_a_chain_can_be_ended_at_any_moment(
    seed: int, moment: int, wish: Literal["cancelled", "conclude"], name: str
) -> None:
    rng = Random(seed)
    prompt = [*rng.choices(WORDS, k=20), *FORMAT.start]
    budget = Budget(60, extensions=3, answer_tokens=20)
    whole, run, on = running(budget, prompt), running(budget, prompt), core()
    drive("reprompt", whole, core())

    async def scenario() -> None:
        task: asyncio.Task[None] = asyncio.create_task(DRIVERS[name](on, run))  # type: ignore[arg-type]
        for _ in range(moment):
            await asyncio.sleep(0)
        await run.end(on, wish)
        await asyncio.wait_for(task, 20)

    asyncio.run(scenario())
    chain = run.chain
    assert chain.violations() == ()
    assert chain.thinking == whole.chain.thinking[: len(chain.thinking)]
    if wish == "cancelled":
        assert chain.stop_cause == "cancelled" or outcome(run) == outcome(whole)
    elif chain.stop_cause == "early_exit":
        assert chain.answer or chain.reached_end_of_turn
    else:
        assert outcome(run) == outcome(whole)


def request(**changes: object) -> SampleRequest:
    plain = SampleRequest("query", (("user", "?"),), (0,), Budget(10))
    return changed(plain, **changes)


def test_a_request_gets_a_driver_that_can_run_it() -> None:
    for name, driver in DRIVERS.items():
        assert choose(name, request(), FORMAT) is driver
        compat = request(budget=Budget(10, harness_compat=True))
        assert choose(name, compat, FORMAT) is DRIVERS["reprompt"]


def test_stops_that_are_text_need_the_reprompt_driver() -> None:
    steps = bind(S1_STEPS, LETTERS)
    assert why_not("reprompt", steps) is None
    assert "stops at texts" in (why_not("session", steps) or "")
    assert choose("session", request(), steps) is DRIVERS["reprompt"]
    assert why_not("session", FORMAT) is None


def test_an_unknown_driver_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="driver must be one of .*, got 'telepathy'"):
        why_not("telepathy", FORMAT)
