"""One query after another: answered, accounted for, learned from, written down."""

import io
import json

import pytest

from policies.base import Limits, Query
from scheduler.controller import Controller
from scheduler.errors import InvalidRequest, Overloaded
from scheduler.outcome import Outcome
from scheduler.protocol import MAX_BODY_BYTES
from tests.scheduler.simulation import make_controller, make_query
from workers.clock import run_virtual
from workers.simulated import SimulatedEngine, reference


async def answered(controller: Controller, *queries: Query, learn: bool = True) -> list[Outcome]:
    return [await controller.answer(query, learn=learn) for query in queries]


@pytest.mark.parametrize("learn", [True, False])
def test_learns_only_when_it_may(learn: bool) -> None:
    async def main() -> None:
        controller = await make_controller()
        await answered(controller, make_query(query_class="sums"), learn=learn)
        assert (controller.book.curve("simulated", "sums") is not None) is learn

    run_virtual(main())


def test_the_ledger_has_what_the_outcomes_say() -> None:
    async def main() -> None:
        controller = await make_controller(policy="adaptive_consistency", wave=8)
        queries = [make_query(f"medium question {n}", id=str(n)) for n in range(5)]
        outcomes = await answered(controller, *queries)
        ledger = controller.ledger
        assert ledger.spent == sum(outcome.tokens.total for outcome in outcomes)
        assert (ledger.reserved, ledger.queries) == (0, 5)

    run_virtual(main())


def test_a_prompt_that_does_not_fit_is_refused_by_its_field() -> None:
    async def main() -> None:
        controller = await make_controller(SimulatedEngine(max_model_len=200))
        with pytest.raises(InvalidRequest) as refused:
            await controller.answer(make_query("word " * 300))
        assert (refused.value.field, refused.value.code) == ("messages", "context_length_exceeded")
        assert refused.value.status == 400
        assert controller.ledger.reserved == 0
        assert controller.book.curve("simulated", "default") is None

    run_virtual(main())


def test_a_limit_too_small_for_any_answer_is_refused_by_its_field() -> None:
    async def main() -> None:
        controller = await make_controller()
        with pytest.raises(InvalidRequest) as refused:
            await controller.answer(make_query(limits=Limits(max_total_tokens=10)))
        assert refused.value.field == "thinkbudget.max_total_tokens"
        assert refused.value.code == "budget_too_small"
        assert "10" in refused.value.message

    run_virtual(main())


def test_a_dead_engine_means_come_again() -> None:
    async def main() -> None:
        engine = SimulatedEngine()
        controller = await make_controller(engine)
        engine.kill()
        with pytest.raises(Overloaded) as overloaded:
            await controller.answer(make_query())
        assert (overloaded.value.status, overloaded.value.code) == (503, "engine_unavailable")
        assert controller.ledger.reserved == 0
        engine.revive()
        assert (await controller.answer(make_query())).answer is not None

    run_virtual(main())


def test_every_answered_query_is_one_line_of_the_log() -> None:
    async def main() -> None:
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

    run_virtual(main())


def test_the_same_seed_gives_the_same_outcome() -> None:
    async def main() -> list[str]:
        controller = await make_controller(policy="priced")
        outcomes = await answered(controller, *(make_query(id=str(n)) for n in range(10)))
        return [json.dumps(outcome.as_dict()) for outcome in outcomes]

    assert run_virtual(main()) == run_virtual(main())


def test_a_querys_own_policy_goes_before_the_servers() -> None:
    async def main() -> None:
        controller, other = await make_controller(), await make_controller(policy="majority")
        outcome = await controller.answer(make_query(), policy=other.policy)
        assert (outcome.policy, len(outcome.records)) == ("majority", 8)

    run_virtual(main())


def test_a_very_long_question_is_no_burden() -> None:
    async def main() -> None:
        controller = await make_controller()
        with pytest.raises(InvalidRequest, match="does not fit"):
            await controller.answer(make_query("w " * (MAX_BODY_BYTES // 2)))

    run_virtual(main())
