"""Trees and best-of-n on the simulated engine: over HTTP, within their tokens, and accounted."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from policies import build
from policies.base import Limits
from scheduler.errors import InvalidRequest, Overloaded
from scheduler.solving.outcome import Outcome
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller, make_query
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import questions
from workers.simulated.thoughts import is_right
from workers.verifier.base import VerifierFailed
from workers.verifier.simulated import SimulatedVerifier

TREE: dict[str, Any] = {"width": 4, "steps": 8}


def solved(
    policy: str,
    *,
    count: int = 1,
    verifier: Any = "good",
    limits: Limits | None = None,
    **options: Any,
) -> list[Outcome]:
    async def main() -> list[Outcome]:
        controller = await make_controller(SimulatedEngine())
        if verifier != "good":
            controller.verifier = verifier
        return [
            await controller.answer(
                make_query(
                    asked["question"], id=asked["id"], reference=asked["answer"],
                    limits=limits or Limits(),
                ),
                policy=build(policy, **options),
            )
            for asked in questions(count, seed=5)
        ]  # fmt: skip

    return run_virtual(main())


def accuracy(outcomes: Sequence[Outcome]) -> float:
    return sum(bool(outcome.correct) for outcome in outcomes) / len(outcomes)


def test_a_tree_grows_level_by_level_and_counts_every_token_once() -> None:
    (outcome,) = solved("rebase", **TREE)
    kinds = [step.kind for step in outcome.considered.steps]
    assert kinds[0] == "draw"
    assert set(kinds[1:]) == {"branch"}
    samples = {record.sample.chain: record.sample for record in outcome.records}
    for record in outcome.records:
        sample, parent = record.sample, record.parent
        begun = samples[parent].thinking_tokens if parent is not None else 0
        assert sample.generated_tokens == sample.thinking_tokens - begun + sample.answer_tokens
    assert outcome.tokens.total == sum(record.sample.tokens for record in outcome.records)
    assert outcome.tokens.reasoning > outcome.tokens.discarded
    answered = [each for each in samples.values() if each.answer is not None]
    assert 1 <= len(answered) <= 4
    assert outcome.reward_calls == len(outcome.records)
    line = outcome.as_dict()
    assert line["reward_calls"] == outcome.reward_calls
    assert all(len(sample["rewards"]) == 1 for sample in line["samples"])
    assert {sample["parent"] for sample in line["samples"]} > {None, 0}


@pytest.mark.parametrize("policy", ["rebase", "best_of_n"])
def test_the_better_the_verifier_the_better_the_answers(policy: str) -> None:
    options: dict[str, Any] = TREE if policy == "rebase" else {"samples": 4}
    good = solved(policy, count=150, verifier=SimulatedVerifier(is_right, auc=0.98), **options)
    blind = solved(policy, count=150, verifier=SimulatedVerifier(is_right, auc=0.5), **options)
    assert accuracy(good) > accuracy(blind) + 0.05


@pytest.mark.parametrize("most", [60, 100, 150, 300, 700, 2000])
def test_the_tokens_of_a_query_hold_and_there_is_always_an_answer(most: int) -> None:
    for policy, options in (("rebase", TREE | {"step_tokens": 20}), ("best_of_n", {"samples": 4})):
        for outcome in solved(policy, count=20, limits=Limits(most), answer_tokens=16, **options):
            assert outcome.tokens.total <= most
            assert outcome.answer is not None, (policy, outcome.query.id)


def test_a_request_names_a_tree_and_is_told_what_it_took() -> None:
    async def main() -> dict[str, Any]:
        async with client_of(await make_controller()) as client:
            body = chat("hard question", thinkbudget={"policy": "rebase", **TREE})
            reply = await client.post(CHAT, json=body)
            assert reply.status_code == 200, reply.text
            wrong = chat("hard question", thinkbudget={"policy": "rebase", "width": 0})
            refused = await client.post(CHAT, json=wrong)
            assert (refused.status_code, "width" in refused.text) == (400, True)
            found: dict[str, Any] = reply.json()
            return found

    reply = run_virtual(main())
    spent = reply["thinkbudget"]["spent"]
    assert spent["reward_calls"] == spent["chains"] > 4
    assert spent["tokens"] == reply["usage"]["completion_tokens"]


class _Fails:
    """Gives the rewards of so many calls, then none."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    async def score(self, question: str, thinkings: Sequence[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        if not self.calls:
            raise VerifierFailed("verifier http://prm is down")
        self.calls -= 1
        return [[0.5] for _ in thinkings]


def test_without_a_verifier_the_policy_is_refused_before_a_token_is_spent() -> None:
    with pytest.raises(InvalidRequest, match="'rebase' reads rewards, and this server has no ver"):
        solved("rebase", verifier=None)


def test_a_verifier_that_fails_ends_the_query_with_what_there_is() -> None:
    with pytest.raises(Overloaded, match="verifier http://prm is down"):
        solved("rebase", verifier=_Fails(0), **TREE)
    (outcome,) = solved("best_of_n", verifier=_Fails(0), samples=3)
    assert (outcome.stop_reason, outcome.answer is None) == ("failed", False)
