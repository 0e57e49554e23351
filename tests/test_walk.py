"""One walk from HTTP to the curves: ask, be graded, learn, and read off what was learned."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from policies import build
from policies.price import Price
from scheduler.api.app import make_app
from scheduler.curves.wal import DurableCurveStore
from scheduler.solving.controller import Controller
from scheduler.solving.pricing import Pricing
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import LAWS, questions

PRICE = 3e-4
SLACK = 0.15
CONCURRENCY = 8


async def ask_all(client: httpx.AsyncClient, asked: list[dict[str, str]]) -> list[dict[str, Any]]:
    waiting, replies = iter(asked), []

    async def worker() -> None:
        for question in waiting:
            reply = await client.post(
                "/v1/chat/completions",
                json={
                    "model": "simulated",
                    "messages": [{"role": "user", "content": question["question"]}],
                    "metadata": {"query_class": question["class"]},
                    "thinkbudget": {"reference_answer": question["answer"]},
                },
            )
            assert reply.status_code == 200, reply.text
            replies.append(reply.json())

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(worker())
    return replies


@pytest.mark.slow
def test_a_stream_of_graded_questions_becomes_curves(tmp_path: Path) -> None:
    asked = questions(150, seed=1)
    log = tmp_path / "outcomes.jsonl"

    async def main() -> tuple[list[dict[str, Any]], dict[str, Any], Controller]:
        engine = SimulatedEngine()
        with log.open("w", encoding="utf-8") as outcomes:
            controller = Controller(
                engine=engine,
                info=await engine.info(),
                policy=build("priced"),
                curves=DurableCurveStore(),
                pricing=Pricing(Price(PRICE)),
                outcomes=outcomes,
            )
            transport = httpx.ASGITransport(make_app(controller))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                replies = await ask_all(client, asked)
                curves = (await client.get("/v1/thinkbudget/curves")).json()
        return replies, curves, controller

    replies, curves, controller = run_virtual(main())
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]

    assert sorted(line["question"] for line in lines) == sorted(q["question"] for q in asked)
    assert {line["id"] for line in lines} == {r["thinkbudget"]["outcome_id"] for r in replies}
    assert all(line["correct"] is (line["answer"] == line["reference"]) for line in lines)
    assert all(line["violations"] == [] for line in lines)

    spent = sum(reply["usage"]["completion_tokens"] for reply in replies)
    assert spent == sum(line["tokens"]["total"] for line in lines) == controller.ledger.spent
    assert controller.ledger.reserved == 0

    learned = {line["class"]: line["curve"] for line in curves["classes"]}
    assert learned.keys() == LAWS.keys()
    for name, curve in learned.items():
        (once,) = [p for p in curve["points"] if (p["kind"], p["x"]) == ("extensions", 0)]
        truth = LAWS[name].accuracy_after(0)
        assert once["low"] - SLACK <= truth <= once["high"] + SLACK, name
    assert learned["easy"]["labelled"] > 0
