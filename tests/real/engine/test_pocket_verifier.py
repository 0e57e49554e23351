"""The embedded verifier on chains of the real model: right steps get the higher rewards."""

import asyncio
import json
from typing import Any

import pytest

from policies import build
from policies.base import Limits, Message, Query
from policies.plan import Budget
from scheduler.curves.wal import DurableCurveStore
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from scheduler.solving.pricing import Pricing
from tests.builders import changed
from training.pocket.problems import read_problem
from training.pocket.verifier.labels import labels
from training.pocket.verifier.measure import auc
from workers.engine import Engine, SampleRequest
from workers.models import POCKET_FOLDER
from workers.sample import Sample
from workers.verifier.pocket import PocketVerifier
from workers.verifier.steps import step_ends

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

CHAINS = 4


def sums(count: int) -> list[dict[str, Any]]:
    lines = (POCKET_FOLDER / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row for row in rows if row["class"] == "sum"][:count]


def test_right_steps_of_the_real_model_are_rewarded(loop: asyncio.Runner, engine: Engine) -> None:
    rows, verifier = sums(40), PocketVerifier()

    async def sampled(question: str) -> list[Sample]:
        plain = SampleRequest(
            question, (("user", question),), tuple(range(CHAINS)), Budget(200, answer_tokens=16)
        )
        events = engine.sample(changed(plain, temperature=1.0, seed=7))
        return [event async for event in events if isinstance(event, Sample)]

    async def judged() -> tuple[list[float], list[bool]]:
        values, right = [], []
        every = await asyncio.gather(*(sampled(row["question"]) for row in rows))
        for row, samples in zip(rows, every, strict=True):
            thinkings = [sample.thinking for sample in samples]
            rewards = await verifier.score(row["question"], thinkings)
            for sample, found in zip(samples, rewards, strict=True):
                truth = labels(read_problem(row["question"]), sample.thinking)
                assert len(found) == len(step_ends(sample.thinking)) == len(truth)
                values += found
                right += truth
        return values, right

    values, right = loop.run(judged())
    assert len(values) > 40 * CHAINS
    assert auc(values, right) > 0.7


def test_branches_of_a_tree_go_on_from_their_parents(loop: asyncio.Runner, engine: Engine) -> None:
    limits = Limits(max_total_tokens=600)
    tree = build("rebase", width=4, step_tokens=12, temperature=1.0, answer_tokens=16)

    async def solved() -> list[Outcome]:
        controller = Controller(
            engine=engine,
            info=await engine.info(),
            policy=tree,
            curves=DurableCurveStore(),
            pricing=Pricing(),
            verifier=PocketVerifier(),
        )
        asked = [Query(row["id"], (Message("user", row["question"]),), limits=limits)
                 for row in sums(8)]  # fmt: skip
        return list(await asyncio.gather(*map(controller.answer, asked)))

    for outcome in loop.run(solved()):
        samples = {record.sample.chain: record.sample for record in outcome.records}
        children = [record for record in outcome.records if record.parent is not None]
        assert children
        for record in children:
            before = samples[record.parent or 0].thinking_ids
            assert record.sample.thinking_ids[: len(before)] == before
            assert record.sample.thinking_tokens <= len(before) + 12
        assert outcome.tokens.total <= 600
        assert outcome.answer is not None
        assert outcome.reward_calls == len(outcome.records)
        assert outcome.violations == ()
