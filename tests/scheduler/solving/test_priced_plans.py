"""Plans of `priced` on the simulated engine: learned by serving, explained, and restored."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from policies.base import Limits, Message, Query
from policies.curves.class_statistics import ClassStatistics
from policies.curves.extension_rule import NextExtension
from policies.plan import Forecast
from scheduler.api.chat import complete
from scheduler.curves.wal import DurableCurveStore
from scheduler.solving.controller import Controller
from scheduler.solving.explanation import explain
from scheduler.solving.outcome import Outcome
from tests.scheduler.simulation import chat, make_controller
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine


async def served(controller: Controller, count: int, question: str = "medium") -> list[Outcome]:
    """Every second query brings a reference, which is right for some."""
    outcomes = []
    for number in range(count):
        reference = str(number % 7) if number % 2 else None
        query = Query(
            f"q{number}", (Message("user", f"{question} {number}"),), question, reference=reference
        )
        outcomes.append(await controller.answer(query))
    return outcomes


def test_a_class_is_explored_and_then_served_by_the_best_plan() -> None:
    async def main() -> None:
        controller = await make_controller(policy="priced", max_samples=6)
        outcomes = await served(controller, 60)
        curve = controller.curves.curve(controller.info.model, "medium")
        assert curve is not None and curve.plans is not None
        assert curve.plans.queries > 50
        assert {point.kind for point in curve.points()} >= {"extensions", "votes"}  # what is drawn
        assert curve.plans.exits is not None
        assert curve.extension is not None and curve.extension.max_extensions >= 3
        plans = [outcome.plan for outcome in outcomes]
        assert all(plan is not None and plan.setting is not None for plan in plans)
        explored = [plan.is_exploration for plan in plans if plan is not None]
        assert all(explored[:4]) and not all(explored[30:])
        tried = [record.probes for outcome in outcomes[:4] for record in outcome.records]
        assert any(tried)

    run_virtual(main())


def test_a_reply_says_what_one_more_extension_would_bring() -> None:
    async def main() -> None:
        controller = await make_controller(policy="priced", max_samples=6)
        outcomes = await served(controller, 60)
        outcome = next(each for each in reversed(outcomes) if not each.plan.is_exploration)  # type: ignore[union-attr]
        after = NextExtension(2, 0.93, Forecast(0.004, 60.0), by_confidence=True)
        considered = replace(outcome.considered, next_extension=after)
        said = explain(replace(outcome, considered=considered, price=3e-4), reads_curves=True)
        assert said.endswith(
            " After 2 extensions its answer is right with a chance of 93%, by the tail confidence "
            "of its thinking, too: one more extension would bring 0.4 points for 60 tokens, and "
            "the price asks for 1.8."
        )
        once = replace(considered, next_extension=after._replace(extensions=1))
        said = explain(replace(outcome, considered=once), reads_curves=True)
        assert " After 1 extension its answer" in said
        kept = considered.as_dict()["next_extension"]
        assert (kept["extensions"], kept["forecast"]["tokens"]) == (2, 60.0)

    run_virtual(main())


def test_a_model_that_must_not_be_greedy_never_is() -> None:
    async def main() -> None:
        engine = SimulatedEngine(loops=True)
        controller = await make_controller(engine, policy="priced", max_samples=6)
        for question in ("easy", "medium", "hard"):
            outcomes = await served(controller, 40, question)
            assert {record.temperature for o in outcomes for record in o.records} == {None}
        greedy = await make_controller(engine, policy="fixed", temperature=0.0)
        (looped,) = await served(greedy, 1)
        assert looped.records[0].sample.stop_cause != "natural"

    run_virtual(main())


def test_a_reply_can_say_why_its_plan_was_taken() -> None:
    async def main() -> None:
        controller = await make_controller(policy="priced", max_samples=6)
        outcomes = await served(controller, 80)
        chosen = [one for one in outcomes[40:] if one.plan and not one.plan.is_exploration]
        said = explain(chosen[-1], reads_curves=True)
        assert str(chosen[-1].plan.setting) in said  # type: ignore[union-attr]
        assert "points" in said and "chains agree" in said
        reply = await complete(controller, chat("medium", thinkbudget={"explain": True}))
        assert reply["thinkbudget"]["explanation"]
        line = json.loads(json.dumps(chosen[-1].as_dict()))
        assert line["plan"]["setting"] == [*chosen[-1].plan.setting]  # type: ignore[misc, union-attr]

    run_virtual(main())


def test_what_was_learned_is_there_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        controller = await make_controller(policy="priced")
        with DurableCurveStore(tmp_path / "curves.json") as store:
            controller.curves = store
            await served(controller, 30)
            before = store.curve(controller.info.model, "medium")
            # As after a kill: the log alone.
            log = (tmp_path / "curves.json.log").read_bytes()
        (tmp_path / "again.json.log").write_bytes(log)
        with DurableCurveStore(tmp_path / "again.json") as again:
            after = again.curve(controller.info.model, "medium")
        assert before is not None and before.plans is not None
        assert after is not None and after.plans is not None
        assert after.plans.queries == before.plans.queries

    run_virtual(main())


def test_statistics_of_plans_survive_json() -> None:
    async def main() -> dict[str, Any]:
        controller = await make_controller(policy="priced")
        await served(controller, 12)
        assert isinstance(controller.curves, DurableCurveStore)
        return await controller.curves.export()

    (stored,) = run_virtual(main())["classes"]
    known = ClassStatistics.from_dict(stored["statistics"])
    assert known.plans.queries == 12
    assert ClassStatistics.from_dict(json.loads(json.dumps(known.as_dict()))) == known


def test_a_limit_on_tokens_holds() -> None:
    async def main() -> None:
        controller = await make_controller(policy="priced")
        await served(controller, 20)
        limits = Limits(max_total_tokens=120)
        query = Query("small", (Message("user", "medium 1"),), "medium", limits=limits)
        outcome = await controller.answer(query)
        assert outcome.tokens.total <= 120

    run_virtual(main())


def test_a_plan_without_a_curve_says_so() -> None:
    async def main() -> None:
        controller = await make_controller(policy="priced", exploration=0.0)
        (outcome,) = await served(controller, 1)
        assert "no curve yet" in explain(outcome, reads_curves=True)

    run_virtual(main())


def test_a_plan_for_a_target_is_told_with_its_own_figures() -> None:
    async def main() -> None:
        controller = await make_controller(policy="priced", max_samples=6)
        await served(controller, 26)
        limits = Limits(target_accuracy=0.999)
        query = Query("q", (Message("user", "medium 3"),), "medium", limits=limits)
        outcome = await controller.answer(query)
        while outcome.plan is not None and outcome.plan.is_exploration:
            outcome = await controller.answer(query)
        assert outcome.plan is not None and outcome.plan.forecast is not None
        forecast = outcome.plan.forecast
        said = f"{forecast.accuracy:.1%} for {forecast.tokens:.0f} tokens"
        assert said in explain(outcome, reads_curves=True)

    run_virtual(main())
