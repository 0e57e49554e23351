"""What callers say of answers, over HTTP: votes are counted by what the answers say."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any, TextIO

import httpx
import pytest

from tests.scheduler.simulation import CHAT, chat, client_of, make_controller, post
from workers.answers.grader import Grader
from workers.answers.math_pool import MathPool
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import questions, reference

# One value, five ways: three are equal as numbers, the others only by mathematics.
FIVE_WAYS = (
    r"\boxed{\frac{{}}{4}}",
    "{}/4",
    r"\(\frac{2\cdot {}}{8}\)",
    r"**\dfrac{{}}{4}**.",
    r"$\sqrt{\frac{{}^2}{16}}$",
)
VOTES = 15


@asynccontextmanager
async def serving(
    engine: SimulatedEngine, outcomes: TextIO | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A server with the pool that compares formulas, on real time."""
    controller = await make_controller(engine)
    controller.outcomes = outcomes
    async with MathPool() as pool:
        controller.grader = Grader(pool)
        async with client_of(controller) as client:
            yield client


def test_a_value_spelt_five_ways_wins_by_its_true_weight() -> None:
    """The same questions and chains, spelt in one way and in five: the same agreement."""
    budget = {"policy": "majority", "samples": VOTES}
    asked = [each["question"] for each in questions(40, seed=11) if each["class"] == "medium"]
    assert len(asked) > 5

    async def agreements(spellings: tuple[str, ...]) -> list[tuple[float, bool]]:
        engine, log = SimulatedEngine(spellings=spellings, tokens_per_second=1e6), StringIO()
        async with serving(engine, log) as client:
            for question in asked:
                right = rf"\frac{{{reference(question)}}}{{4}}"
                body = chat(question, seed=7, thinkbudget=budget | {"reference_answer": right})
                assert (await client.post(CHAT, json=body)).status_code == 200
            metrics = (await client.get("/metrics")).text
        if len(spellings) > 1:
            assert 'thinkbudget_answer_comparisons_total{method="math"}' in metrics
            assert 'method="slow"' not in metrics
        outcomes = [json.loads(line) for line in log.getvalue().splitlines()]
        return [(outcome["agreement"], outcome["correct"]) for outcome in outcomes]

    one_way = asyncio.run(agreements((r"\frac{{}}{4}",)))
    assert asyncio.run(agreements(FIVE_WAYS)) == one_way
    assert any(right for _, right in one_way)
    assert any(0.3 < agreement < 0.9 for agreement, _ in one_way)


def test_without_the_pool_formulas_are_compared_by_their_spelling_and_counted() -> None:
    async def main() -> str:
        engine = SimulatedEngine(spellings=(r"\sqrt{{}}", r"\sqrt{ {} }", r"{}^{1/2}"))
        controller = await make_controller(engine, policy="majority", samples=6)
        async with client_of(controller) as client:
            reply = (await client.post(CHAT, json=chat("easy question"))).json()
            assert reply["thinkbudget"]["agreement"] < 1
            return (await client.get("/metrics")).text

    assert 'thinkbudget_answer_comparisons_total{method="down"}' in asyncio.run(main())


@pytest.mark.parametrize("field", ["kind", "choices", "pattern", "style"])
def test_an_answer_that_cannot_be_is_refused_by_its_field(field: str) -> None:
    wrong: dict[str, Any] = {
        "kind": {"kind": "poem"},
        "choices": {"kind": "number", "choices": ["a"]},
        "pattern": {"pattern": "(unclosed"},
        "style": {"style": "short"},
    }
    reply = post(chat(thinkbudget={"answer": wrong[field]}))
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith("thinkbudget.answer")
    assert field in reply.json()["error"]["message"]


def test_choices_are_counted_by_letter_whether_the_letter_or_its_text_is_given() -> None:
    places = [f"Place {digit}" for digit in range(10)]
    letters = "abcdefghij"

    async def main() -> None:
        question = "medium question of places"
        engine = SimulatedEngine(spellings=("Place {}", "the answer is **Place {}**"))
        budget = {"policy": "majority", "samples": VOTES, "learn": False}
        answer = {"kind": "choice", "choices": places}
        async with serving(engine) as client:
            body = chat(question, seed=7, thinkbudget=budget | {"answer": answer})
            reply = (await client.post(CHAT, json=body)).json()["thinkbudget"]
        async with serving(SimulatedEngine()) as client:
            body = chat(question, seed=7, thinkbudget=budget)
            plain = (await client.post(CHAT, json=body)).json()
        assert reply["agreement"] == plain["thinkbudget"]["agreement"]
        assert reply["answer"] in {*places, *letters, *(place.lower() for place in places)}

    asyncio.run(main())


def test_a_pattern_of_the_caller_finds_the_answer() -> None:
    async def main() -> dict[str, Any]:
        engine = SimulatedEngine(spellings=("<<{}>> or 99", "maybe 12, but <<{}>>"))
        budget = {
            "policy": "majority",
            "samples": 6,
            "answer": {"pattern": r"<<(\d+)>>"},
            "reference_answer": reference("easy question"),
        }
        async with serving(engine) as client:
            reply = await client.post(CHAT, json=chat("easy question", thinkbudget=budget))
        found: dict[str, Any] = reply.json()["thinkbudget"]
        return found

    found = asyncio.run(main())
    assert found["answer"] in "0123456789"
    assert found["agreement"] > 0.5


def test_open_ended_replies_do_not_vote_and_the_surest_is_returned() -> None:
    budget = {"policy": "majority", "samples": 5, "answer": {"kind": "none"}}
    reply = post(chat("hard question", thinkbudget=budget)).json()
    report = reply["thinkbudget"]
    assert (report["answer"], report["agreement"]) == (None, 0.0)
    assert report["spent"]["chains"] == 5
    assert reply["choices"][0]["message"]["content"].startswith("Final Answer:")


def test_open_ended_replies_end_after_one_round_whatever_the_policy() -> None:
    budget = {"policy": "adaptive_consistency", "answer": {"kind": "none"}}
    reply = post(chat("hard question", thinkbudget=budget))
    assert reply.status_code == 200
    assert reply.json()["thinkbudget"]["stop_reason"] == "plan done"
