"""What a finished run comes to, and what is written down of it."""

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from policies.base import Draw, Limits, Query, Stop
from policies.fixed import Fixed
from policies.majority import Majority
from policies.plan import Budget, Forecast, Plan
from scheduler.solving.ledger import Ledger
from scheduler.solving.outcome import build_outcome, observation, read_outcomes
from scheduler.solving.run import QueryRun
from scheduler.solving.solve import solve
from tests.scheduler.simulation import make_query, make_run
from workers.forcing.chain import UNANSWERED
from workers.sample import Sample, lost
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine

PLAN = Plan("votes", Budget(100), None, True, 0.25, Forecast(0.5, 120.0))


def chain(number: int, answer: str | None, thinking: int, **fields: int) -> Sample:
    generated = fields.pop("generated_tokens", thinking + 6)
    return Sample(
        number, "thought", f"Final Answer: {answer}", answer, "natural", thinking, 6,
        generated_tokens=generated, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def run_with(*samples: Sample, query: Query | None = None) -> QueryRun:
    run = QueryRun(query or make_query(), Ledger().open(), room=4096)
    run.dispatch(Draw(len(samples), PLAN.budget, plan=PLAN), stream=False)
    for sample in samples:
        run.take(sample)
    run.settle()
    asyncio.run(run.answers.grade(run.records, run.query.reference))
    return run


def test_the_leaders_cheapest_chain_is_chosen() -> None:
    run = run_with(chain(0, "1", 5), chain(1, "7", 90), chain(2, "7", 40), chain(3, "7", 60))
    outcome = build_outcome(run, Stop("plan done"), model="m", policy="p")
    assert outcome.answer == "7"
    assert outcome.chosen == run.samples[2]
    assert outcome.agreement == 0.75
    assert outcome.correct is None


def test_without_an_answer_there_is_none_but_the_chain_is_shown() -> None:
    outcome = build_outcome(run_with(chain(0, None, 50)), Stop("no answer"), model="m", policy="p")
    assert outcome.answer is None
    assert outcome.chosen is not None
    nothing = build_outcome(run_with(lost(0)), Stop("deadline"), model="m", policy="p")
    assert (nothing.answer, nothing.chosen, nothing.agreement) == (None, None, 0.0)


@pytest.mark.parametrize(("reference", "correct"), [("7", True), (" 7.0 ", True), ("8", False)])
def test_with_a_reference_it_is_right_or_wrong(reference: str, correct: bool) -> None:
    run = run_with(chain(0, "7", 50), query=make_query(reference=reference))
    assert build_outcome(run, Stop("plan done"), model="m", policy="p").correct is correct


def test_the_kinds_of_tokens_add_up_to_all_that_were_generated_and_forced() -> None:
    gone = [
        Sample(number, "", "", None, cause, 30, generated_tokens=33, complete=False)
        for number, cause in enumerate(UNANSWERED, start=2)
    ]
    run = run_with(
        chain(0, "7", 50, generated_tokens=58, discarded_tokens=2, forced_tokens=4),
        chain(1, "7", 40, probe_tokens=36),
        *gone,
    )
    tokens = build_outcome(run, Stop("plan done"), model="m", policy="p").tokens
    assert tokens._asdict() == {
        "reasoning": 90, "answer": 12, "forced": 4, "probe": 36, "discarded": 2 + 33 * 6,
    }  # fmt: skip
    assert tokens.total == run.tokens == run.account.spent


def test_its_line_survives_json() -> None:
    run = run_with(chain(0, "7", 50), lost(1), query=make_query("wörter?", reference="7"))
    line = build_outcome(run, Stop("plan done"), model="m", policy="p").as_dict()
    assert json.loads(json.dumps(line)) == line
    assert line["plan"]["forecast"] == {"accuracy": 0.5, "tokens": 120.0}
    assert line["tokens"]["total"] == 56
    assert [sample["stop_cause"] for sample in line["samples"]] == ["natural", "lost"]


def test_broken_budgets_are_told() -> None:
    sample = Sample(0, "", "7", "7", "natural", 500, violations=("max_thinking_tokens",))
    outcome = build_outcome(run_with(sample), Stop("plan done"), model="m", policy="p")
    assert outcome.violations == ("max_thinking_tokens",)
    assert outcome.as_dict()["violations"] == ["max_thinking_tokens"]


def test_an_observation_labels_every_answer() -> None:
    samples = chain(0, "7", 50), chain(1, "8", 40), chain(2, None, 10), chain(3, "7", 50)
    run = run_with(*samples, query=make_query(reference="7", query_class="sums"))
    seen = observation(run)
    assert seen is not None
    assert seen.right == {"7": True, "8": False}
    assert [seen.truth(vote.answer) for vote in seen.history] == [True, False, False, True]
    assert (seen.query_class, seen.plan, seen.budget) == ("sums", PLAN, PLAN.budget)


def test_without_a_reference_an_observation_has_no_labels() -> None:
    seen = observation(run_with(chain(0, "7", 50)))
    assert seen is not None
    assert seen.right == {}


def test_a_run_without_a_finished_chain_teaches_nothing() -> None:
    assert observation(run_with(lost(0))) is None


def test_an_observation_knows_a_chain_that_its_account_has_cut() -> None:
    async def main() -> QueryRun:
        run = make_run("hopeless question", limits=Limits(max_total_tokens=120))
        await solve(run, engine=SimulatedEngine(), policy=Fixed(), rng=Random(0))
        return run

    run = run_virtual(main())
    (vote,) = run.tally.votes
    seen = observation(run)
    assert vote.stop_cause == "max_thinking"
    assert seen is not None
    assert seen.is_cut(vote)


def test_a_torn_last_line_is_skipped(tmp_path: Path) -> None:
    async def main() -> QueryRun:
        run = make_run(reference="7")
        await solve(run, engine=SimulatedEngine(), policy=Majority(samples=2), rng=Random(0))
        return run

    line = build_outcome(run_virtual(main()), Stop("plan done"), model="m", policy="p").as_dict()
    log = tmp_path / "outcomes.jsonl"
    text = json.dumps(line)
    log.write_text(f"{text}\n{text}\n{text[:70]}", encoding="utf-8")
    assert list(read_outcomes(log)) == [line, line]
