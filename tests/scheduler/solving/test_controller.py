"""One query after another: answered, accounted for, learned from, written down."""

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from policies import build
from policies.base import Limits, Query
from policies.exploration import COLD_RUNS, OWN_RUNS
from policies.price import Price
from scheduler.api.protocol import MAX_BODY_BYTES
from scheduler.errors import DeadlineExceeded, InvalidRequest, Overloaded
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from scheduler.solving.pricing import Pricing
from tests.scheduler.simulation import make_controller, make_query
from workers.engine import EngineEvent, Refused, SampleRequest
from workers.sample import Sample
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import reference


async def answered(controller: Controller, *queries: Query, learn: bool = True) -> list[Outcome]:
    return [await controller.answer(query, learn=learn) for query in queries]


@pytest.mark.parametrize("learn", [True, False])
async def test_learns_only_when_it_may(learn: bool) -> None:
    controller = await make_controller()
    await answered(controller, make_query(query_class="sums"), learn=learn)
    assert (controller.curves.curve("simulated", "sums") is not None) is learn


async def test_what_teaches_nothing_is_no_exploration_run() -> None:
    controller = await make_controller(policy="priced")
    for learn in (False, True):
        outcome = await controller.answer(make_query("Why?", id=f"{learn}"), learn=learn)
        assert outcome.plan is not None and outcome.plan.is_exploration is learn


async def test_what_is_only_foreseen_is_no_exploration_run_under_way() -> None:
    controller = await make_controller(policy="priced")
    for number in range(10):
        query = make_query("Why?", id=f"{number}")
        outcome = controller.preview(query, policy=controller.policy)
        assert outcome.plan is not None and outcome.plan.is_exploration
    assert not controller._exploration_runs


async def test_of_many_queries_of_a_cold_class_at_once_few_are_exploration_runs() -> None:
    """What is under way counts as shown; a class beside it leans on it."""

    controller = await make_controller(policy="priced")
    queries = [
        make_query(f"hard question {n}", id=f"{name}-{n}", query_class=name)
        for name in ("sums", "poems")
        for n in range(30)
    ]
    outcomes = await asyncio.gather(*(controller.answer(query) for query in queries))
    for name, cold in (("sums", COLD_RUNS), ("poems", OWN_RUNS)):
        plans = [out.plan for out in outcomes if out.query.query_class == name and out.plan]
        exploration_runs = Counter(plan.name for plan in plans if plan.is_exploration)
        assert len(plans) == 30 and exploration_runs == {"extend": cold}
    assert not controller._exploration_runs


async def test_the_ledger_has_what_the_outcomes_say() -> None:
    controller = await make_controller(policy="adaptive_consistency", samples_per_round=8)
    queries = [make_query(f"medium question {n}", id=str(n)) for n in range(5)]
    outcomes = await answered(controller, *queries)
    ledger = controller.ledger
    assert ledger.spent == sum(outcome.tokens.total for outcome in outcomes)
    assert (ledger.reserved, ledger.queries) == (0, 5)


async def test_a_prompt_that_does_not_fit_is_refused_by_its_field() -> None:
    controller = await make_controller(SimulatedEngine(max_model_len=200))
    with pytest.raises(InvalidRequest) as refused:
        await controller.answer(make_query("word " * 300))
    assert (refused.value.field, refused.value.code) == ("messages", "context_length_exceeded")
    assert refused.value.status == 400
    assert controller.ledger.reserved == 0
    assert controller.curves.curve("simulated", "default") is None


class Refusing(SimulatedEngine):
    """Its tokenizer knows no word of the extension text; its chains break their budgets."""

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        if (text := request.budget.extension_text) is not None:
            raise Refused("extension_text", f"extension_text {text!r} has no tokens")
        async with aclosing(super().sample(request)) as events:
            async for event in events:
                broken = ("max_thinking_tokens", "extensions")
                yield replace(event, violations=broken) if isinstance(event, Sample) else event


async def test_an_option_that_the_engine_refuses_is_named_as_the_option_it_is() -> None:
    controller = await make_controller(Refusing(), extensions=1, extension_text="\u2603")
    with pytest.raises(InvalidRequest, match="has no tokens") as refused:
        await controller.answer(make_query())
    assert refused.value.field == "thinkbudget.extension_text"
    assert controller.ledger.reserved == 0


def test_broken_budgets_are_counted_by_kind_and_logged_by_query(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        controller = await make_controller(Refusing(), policy="majority", samples=2)
        assert controller.violations == {}
        outcome = await controller.answer(make_query(id="q-17"))
        assert len(outcome.violations) == 4
        assert controller.violations == {"max_thinking_tokens": 2, "extensions": 2}
        lines = outcome.as_dict()["samples"]
        assert [line["violations"] for line in lines] == [["max_thinking_tokens", "extensions"]] * 2

    run_virtual(main())
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 4
    assert all("q-17" in record.getMessage() for record in errors)


async def test_a_limit_too_small_for_any_answer_is_refused_by_its_field() -> None:
    controller = await make_controller()
    with pytest.raises(InvalidRequest) as refused:
        await controller.answer(make_query(limits=Limits(max_total_tokens=10)))
    assert refused.value.field == "thinkbudget.max_total_tokens"
    assert refused.value.code == "budget_too_small"
    assert "10" in refused.value.message


async def test_a_dead_engine_means_come_again() -> None:
    engine = SimulatedEngine()
    controller = await make_controller(engine)
    engine.kill()
    with pytest.raises(Overloaded) as overloaded:
        await controller.answer(make_query())
    assert (overloaded.value.status, overloaded.value.code) == (503, "engine_unavailable")
    assert controller.ledger.reserved == 0
    engine.revive()
    assert (await controller.answer(make_query())).answer is not None


async def test_every_answered_query_is_one_line_of_the_log() -> None:
    log = io.StringIO()
    controller = await make_controller(policy="majority", samples=3)
    controller.outcomes = log
    questions = [f"medium question {number}" for number in range(4)]
    outcomes = await answered(
        controller, *(make_query(q, id=q, reference=reference(q)) for q in questions)
    )
    with pytest.raises(InvalidRequest):
        await controller.answer(make_query("word " * 5000))
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["question"] for line in lines] == questions
    assert [line["correct"] for line in lines] == [outcome.correct for outcome in outcomes]
    assert all(len(line["samples"]) == 3 for line in lines)


def test_the_same_seed_gives_the_same_outcome() -> None:
    async def main() -> list[str]:
        controller = await make_controller(policy="priced")
        outcomes = await answered(controller, *(make_query(id=str(n)) for n in range(10)))
        return [json.dumps(outcome.as_dict()) for outcome in outcomes]

    assert run_virtual(main()) == run_virtual(main())


async def test_a_querys_own_policy_goes_before_the_servers() -> None:
    controller, other = await make_controller(), await make_controller(policy="majority")
    outcome = await controller.answer(make_query(), policy=other.policy)
    assert (outcome.policy, len(outcome.records)) == ("majority", 8)


async def test_a_very_long_question_is_no_burden() -> None:
    controller = await make_controller()
    with pytest.raises(InvalidRequest, match="does not fit"):
        await controller.answer(make_query("w " * (MAX_BODY_BYTES // 2)))


def test_the_log_tells_what_was_considered_and_decided() -> None:
    async def main() -> list[dict[str, Any]]:
        log = io.StringIO()
        controller = await make_controller(policy="priced")
        controller.outcomes = log
        questions = [f"medium question {number}" for number in range(30)]
        await answered(
            controller, *(make_query(q, id=q, reference=reference(q)) for q in questions)
        )
        return [json.loads(line) for line in log.getvalue().splitlines()]

    first, *_, last = run_virtual(main())
    assert first["considered"]["alternatives"] == []
    assert 0 < first["plan"]["propensity"] <= 1
    considered = last["considered"]
    offered = considered["alternatives"]
    assert 1 < len(offered) == len({plan["name"] for plan in offered})
    assert all(0 <= plan["accuracy"] <= 1 and plan["tokens"] > 0 for plan in offered)
    assert last["plan"]["name"] == last["plan"]["setting"][0]
    assert considered["queries"] > 20
    steps = considered["steps"]
    assert steps[0]["kind"] == "draw" and steps[0]["votes"] == steps[0]["tokens"] == 0
    drawn = [chain for step in steps if step["kind"] == "draw" for chain in step["chains"]]
    assert sorted(set(drawn)) == sorted({sample["chain"] for sample in last["samples"]})
    assert 0 <= last["chance"] <= 1


async def test_a_target_accuracy_for_all_moves_the_price() -> None:
    controller = await make_controller(policy="priced")
    controller.pricing = Pricing(Price.for_accuracy(0.5))
    before = controller.pricing.now()
    questions = [f"easy question {number}" for number in range(10)]
    outcomes = await answered(
        controller, *(make_query(q, id=q, reference=reference(q)) for q in questions)
    )
    assert outcomes[0].price == before
    assert controller.pricing.now() > before


async def test_a_querys_own_price_goes_before_the_servers() -> None:
    controller = await make_controller(policy="priced")
    own = build("priced", price=1e-3)
    assert (await controller.answer(make_query(), policy=own)).price == 1e-3
    assert (await controller.answer(make_query())).price == controller.pricing.now()


async def test_running_queries_of_one_id_have_names_of_their_own_at_the_engine() -> None:
    class Listening(SimulatedEngine):
        async def cancel(self, query: str, chain: int | None = None) -> None:
            cancelled.append(query)
            await super().cancel(query, chain)

    cancelled: list[str] = []
    controller = await make_controller(Listening())
    late = make_query("hopeless question", limits=Limits(deadline_seconds=0.05))
    usual = make_query("hopeless question")
    alone = await (await make_controller()).answer(usual)
    first = asyncio.create_task(controller.answer(usual))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded):
        await controller.answer(late)
    assert (await first).answer == alone.answer
    assert cancelled == ["q~2"]
    assert (await controller.answer(usual)).query.id == "q"
