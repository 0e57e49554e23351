"""A job spends its budget and no more, where it buys most, and ends when a goal is met."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scheduler.api.chat import complete
from scheduler.batch.budget.estimate import estimate, sample_of
from scheduler.batch.budget.goals import Goals
from scheduler.batch.budget.steered import SteeredBudget
from scheduler.batch.ended import EXHAUSTED, JobEnded
from scheduler.batch.inputs.files import read_rows
from scheduler.batch.inputs.row import Row
from scheduler.batch.storage import locate
from tests.scheduler.batch.jobs import PRICED, Steps, answered, ids, job, line, mixed, ran, write
from tests.scheduler.simulation import chat, make_controller
from workers.simulated.clock import run_virtual


def prices(folder: Path) -> list[float]:
    return [one["response"]["body"]["thinkbudget"]["price"] for one in answered(folder)]


@pytest.mark.slow
def test_a_jobs_budget_is_spent_and_never_more(tmp_path: Path) -> None:
    count, budget = 400, 400 * 220
    source = write(tmp_path, *mixed(count))
    report = ran(source, where=PRICED, goals=Goals(tokens=budget))
    spent = [one["response"]["body"]["usage"]["completion_tokens"] for one in answered(tmp_path)]
    assert sorted(map(int, ids(tmp_path))) == list(range(count))
    assert report.tokens == sum(spent)
    assert 0.97 * budget < report.tokens <= budget
    assert max(prices(tmp_path)) <= 64 * min(prices(tmp_path))
    classes = {name: row for (name, _), row in report.bill.rows.items()}
    assert classes.keys() == {"easy", "medium", "hard", "hopeless"}


def test_a_small_budget_answers_every_row_first(tmp_path: Path) -> None:
    source = write(tmp_path, *mixed(40))
    report = ran(source, where=PRICED, goals=Goals(tokens=40 * 150))
    assert report.tokens <= 40 * 150
    assert len(answered(tmp_path)) == 40


def test_a_budget_that_cannot_hold_the_rows_is_refused_with_what_would(tmp_path: Path) -> None:
    source = write(tmp_path, *mixed(60))
    for tokens in (1000, 4000):  # the second holds most of the rows
        with pytest.raises(JobEnded, match="60 rows; about [0-9,]+ would") as ended:
            ran(source, where=PRICED, goals=Goals(tokens=tokens))
        assert ended.value.exit_code == EXHAUSTED
        told = str(ended.value).partition("about ")[2].split()[0]
        assert int(told.replace(",", "")) > tokens
    assert not (tmp_path / "out.jsonl").exists()
    report = ran(source, where=PRICED, goals=Goals(tokens=12_000))
    assert len(answered(tmp_path)) == 60 and report.tokens <= 12_000


def test_a_budget_below_anything_is_refused_before_it_is_touched(tmp_path: Path) -> None:
    source = write(tmp_path, *mixed(60))
    one = job(source, where=PRICED, goals=Goals(tokens=100))
    one.begin()
    with pytest.raises(JobEnded, match="about 480 would"):
        run_virtual(one.run())
    assert one.output.spent == 0 and not (tmp_path / "out.jsonl.pass-0").exists()


def test_a_partial_job_answers_what_the_budget_holds(tmp_path: Path) -> None:
    source = write(tmp_path, *mixed(60))
    report = ran(source, where=PRICED, goals=Goals(tokens=2000, is_partial=True))
    assert not report.summary.is_whole and report.summary.failed == 0
    assert 5 < len(answered(tmp_path)) < 60
    assert report.tokens <= 2000
    more = ran(source, where=PRICED, goals=Goals(tokens=20_000))
    assert len(answered(tmp_path)) == 60 and more.tokens <= 20_000


@pytest.mark.parametrize("at", [0.3, 1.2, 3.0])
def test_a_job_with_a_budget_goes_on_where_it_was_stopped(tmp_path: Path, at: float) -> None:
    source, goals = write(tmp_path, *mixed(60)), Goals(tokens=60 * 220)
    one = job(source, where=PRICED, goals=goals)
    one.begin()

    async def main() -> None:
        import asyncio

        running = asyncio.create_task(one.run())
        await asyncio.sleep(at)
        one.stop()
        await running

    run_virtual(main())
    report = ran(source, where=PRICED, goals=goals)
    assert sorted(map(int, ids(tmp_path))) == list(range(60))
    assert report.tokens <= goals.tokens  # type: ignore[operator]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"in.jsonl", "out.jsonl", "out.errors.jsonl", "out.manifest.json"}


def test_a_target_accuracy_ends_the_job_early(tmp_path: Path) -> None:
    source = write(tmp_path, *mixed(80))
    low = ran(source, where=PRICED, goals=Goals(accuracy=0.5), out="low.jsonl")
    high = ran(source, where=PRICED, goals=Goals(accuracy=0.62), out="high.jsonl")
    assert low.price is not None and high.price is not None
    assert low.price >= high.price
    assert (high.bill.total.accuracy or 0) >= 0.62


def test_a_deadline_is_met(tmp_path: Path) -> None:
    source = write(tmp_path, *mixed(80))
    one = job(source, where=PRICED, goals=Goals(seconds=4.0), concurrency=16)
    one.begin()

    async def main() -> float:
        import asyncio

        began = asyncio.get_running_loop().time()
        report = await one.run()
        assert report.summary.is_whole
        return asyncio.get_running_loop().time() - began

    assert run_virtual(main()) < 4.5
    assert len(answered(tmp_path)) == 80


def test_a_deadline_that_comes_too_soon_leaves_rows_for_the_next_run(tmp_path: Path) -> None:
    source = write(tmp_path, *mixed(80))
    with pytest.raises(JobEnded, match="0.5 seconds are over with [0-9]+ rows to go") as ended:
        ran(source, where=PRICED, goals=Goals(seconds=0.5), concurrency=4)
    assert ended.value.exit_code == EXHAUSTED
    report = ran(source, where=PRICED, goals=Goals(seconds=60.0))
    assert report.summary.failed == 0 and len(answered(tmp_path)) == 80


def test_rows_that_say_how_they_are_answered_are_left_alone(tmp_path: Path) -> None:
    own: list[dict[str, Any]] = [{"policy": "fixed"}, {"price": 2e-4}, {}]
    source = write(tmp_path, *(line(str(n), thinkbudget=wish) for n, wish in enumerate(own)))
    ran(source, where=PRICED, goals=Goals(tokens=3000))
    replies = {one["custom_id"]: one["response"]["body"] for one in answered(tmp_path)}
    assert replies["0"]["thinkbudget"]["policy"] == "fixed"
    assert replies["1"]["thinkbudget"]["price"] == 2e-4
    assert replies["2"]["thinkbudget"]["policy"] == "priced"


def test_an_endpoint_gets_a_budget_with_every_row_and_none_is_exceeded() -> None:
    count, tokens = 150, 150 * 150
    limits: list[int] = []

    async def main() -> SteeredBudget:
        controller = await make_controller(policy="priced")

        async def answer(body: dict[str, Any]) -> dict[str, Any]:
            limits.append(body["thinkbudget"]["max_total_tokens"])
            return await complete(controller, body)

        steered = SteeredBudget(answer, {}, tokens=tokens, rows=count)
        for number, text in enumerate(mixed(count)):
            await steered.ask(Row(number, str(number), json.loads(text)["body"]))
        return steered

    steered = run_virtual(main())
    assert len(limits) == count
    assert 0.9 * tokens < steered.spent <= tokens


def test_an_endpoint_is_asked_no_more_once_a_budget_is_spent() -> None:
    async def main() -> None:
        async def answer(body: dict[str, Any]) -> dict[str, Any]:
            return {"usage": {"completion_tokens": 900}}

        steered = SteeredBudget(answer, {}, tokens=1000, rows=10)
        with pytest.raises(JobEnded, match="1000 tokens is spent"):
            for number in range(10):
                await steered.ask(Row(number, str(number), chat()))
        assert steered.spent == 900

    run_virtual(main())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"tokens": 0}, "budget-tokens"),
        ({"accuracy": 1.0}, "target-accuracy"),
        ({"seconds": float("inf")}, "max-seconds"),
        ({"seconds": float("nan")}, "max-seconds"),
    ],
)
def test_a_goal_that_cannot_be_is_refused_by_its_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Goals(**wrong)


def test_an_estimate_covers_what_the_whole_job_takes(tmp_path: Path) -> None:
    count = 400
    source = locate(str(write(tmp_path, *mixed(count))))

    async def main(size: int) -> Any:
        controller = await make_controller(policy="priced")
        return await estimate(
            partial(complete, controller),
            sample_of(read_rows(source), count, size),
            count,
            options={},
            concurrency=8,
            progress=Steps(),
            controller=controller,
            budget=count * 300,
        )

    part, whole = run_virtual(main(100)), run_virtual(main(count))
    assert (part.sampled, whole.sampled) == (100, count)
    assert whole.tokens.low == whole.tokens.high == pytest.approx(whole.spent)
    assert part.tokens.low < part.tokens.mean < part.tokens.high
    assert 0.5 * whole.spent < part.tokens.mean < 2.0 * whole.spent
    assert part.at_budget is not None and part.at_budget.tokens <= 300
    assert "400 rows; 100 were answered" in part.lines(count * 300)[0]
