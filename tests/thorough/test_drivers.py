"""Budgets with a real language model and real vocabularies, token by token."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from policies.plan import Budget
from tests.real.engine.test_vllm_engine import all_events, for_all, many, request
from workers.drivers.chain_engine import ChainEngine
from workers.sample import Delta, Sample

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("default")]

QUESTIONS = [
    "What is 7 times 8?", "用中文写一首关于月亮的诗。", "Answer only with emoji: how are you?",
    "Tom has 3 apples and buys 4 more. How many has he?", "List the first five primes.",
    "Why is the sky blue?",
]  # fmt: skip
BUDGETS = [
    Budget(0, answer_tokens=8), Budget(1, answer_tokens=8), Budget(40, answer_tokens=16),
    Budget(90, extensions=2, answer_tokens=16), Budget(60, 50, 1, answer_tokens=8),
]  # fmt: skip


@contextmanager
def driven_by(engine: ChainEngine, driver: str) -> Iterator[None]:
    before = engine.options
    engine.options = replace(before, driver=driver)
    try:
        yield
    finally:
        engine.options = before


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: f"{b.max_thinking_tokens}-{b.extensions}")
def test_drivers_give_the_same_tokens_and_hold_budgets(
    loop: asyncio.Runner, engine: ChainEngine, budget: Budget
) -> None:
    found = []
    for driver in ("session", "reprompt"):
        with driven_by(engine, driver):
            found.append(many(loop, engine, for_all(QUESTIONS, budget)))
    first, second = found
    assert [s.thinking_ids for s in first] == [s.thinking_ids for s in second]
    assert [(s.text, s.stop_cause) for s in first] == [(s.text, s.stop_cause) for s in second]
    for sample in first:
        assert sample.violations == ()
        assert len(sample.thinking_ids) <= budget.max_thinking_tokens


def test_a_recommended_sampling_holds_budgets_too(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    budget = Budget(60, 20, 1, answer_tokens=16)
    samples = many(loop, engine, for_all(QUESTIONS, budget, temperature=None))
    assert all(sample.violations == () for sample in samples)
    assert all(20 <= sample.thinking_tokens <= 60 for sample in samples)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_stream_shows_the_thinking_of_the_sample(
    loop: asyncio.Runner, engine: ChainEngine, question: str
) -> None:
    wanted = request(question, Budget(70, extensions=1, answer_tokens=16), stream=0)
    events = loop.run(all_events(engine.sample(wanted)))
    (sample,) = [event for event in events if isinstance(event, Sample)]
    shown = "".join(e.text for e in events if isinstance(e, Delta) and e.phase == "thinking")
    # A cut may fall into a character, which is then not whole.
    assert shown.rstrip("\ufffd") == sample.thinking.rstrip("\ufffd")
