"""Trial answers teach a server when to stop thinking, from its first query on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.frontier import SettingMean, tokens_at
from policies.base import Query
from policies.exploration import COLD_RUNS
from scheduler.curves.exchange import Report
from scheduler.curves.records import ObservationRecord, Record
from scheduler.curves.wal import DurableCurveStore, load
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from tests.scheduler.curves.files import copied
from tests.scheduler.simulation import make_controller, make_query
from workers.simulated import law as simulated_law
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import Law, reference

pytestmark = pytest.mark.slow

PRICE = 2e-4
QUERIES, LEARNED = 1000, 500
ALONE: dict[str, Any] = {"price": PRICE, "max_samples": 1, "max_extensions": 0}
"""One chain, never extended: what is left is when it stops."""


@pytest.fixture(scope="module", autouse=True)
def winding() -> Iterator[None]:
    """A class whose chains settle anywhere, and think on for long."""
    laws = {"winding": Law(0.9, 0.0, 0.0, 1.0, 0.9, 1500, 100)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated_law, "LAWS", laws)
        yield


def asked(number: int) -> Query:
    """One in five is of known answer."""
    question = f"winding question {number}"
    known = None if number % 5 else reference(question)
    return make_query(question, id=question, query_class="winding", reference=known)


async def controller_with(policy: str, **options: object) -> Controller:
    return await make_controller(SimulatedEngine(max_model_len=8192), policy=policy, **options)


async def answers(controller: Controller, first: int, last: int) -> list[Outcome]:
    return [await controller.answer(asked(number)) for number in range(first, last)]


def mean(outcomes: list[Outcome]) -> SettingMean:
    right = [one.answer == reference(one.query.id) for one in outcomes]
    tokens = [one.tokens.total for one in outcomes]
    return SettingMean(sum(right) / len(right), sum(tokens) / len(tokens))


@pytest.fixture(scope="module")
def ours(winding: None) -> list[Outcome]:
    async def main() -> list[Outcome]:
        return await answers(
            await controller_with("priced", **ALONE),
            0,
            QUERIES,
        )

    return run_virtual(main())


def test_it_learns_to_stop_and_no_cap_is_as_good(ours: list[Outcome]) -> None:
    async def main() -> list[SettingMean]:
        caps = []
        for cap in (1000, 1200, 1400, None):
            controller = await controller_with("fixed", max_thinking_tokens=cap)
            caps.append(mean(await answers(controller, LEARNED, QUERIES)))
        return caps

    assert all(one.plan is not None and one.plan.is_exploration for one in ours[:COLD_RUNS])
    learned = mean(ours[LEARNED:])
    assert learned.accuracy > 0.8
    assert learned.tokens < 0.9 * tokens_at(run_virtual(main()), learned.accuracy)


def test_the_chance_of_a_concluded_chain_is_no_boast_and_not_far_off(ours: list[Outcome]) -> None:
    ended = [one for one in ours[LEARNED:] if one.records[-1].sample.stop_cause == "early_exit"]
    assert len(ended) > 100
    expected = sum(one.chance or 0.0 for one in ended) / len(ended)
    assert mean(ended).accuracy - 0.1 < expected < mean(ended).accuracy + 0.03


def courses(queries: int) -> list[ObservationRecord]:
    """What a controller reports: of exploration runs first, then of concluded chains too."""
    seen: list[ObservationRecord] = []

    class Listening(DurableCurveStore):
        def observe(self, one: ObservationRecord) -> None:
            seen.append(one)
            super().observe(one)

    async def main() -> None:
        controller = await controller_with("priced", **ALONE)
        controller.curves = Listening()
        await answers(controller, 0, queries)

    run_virtual(main())
    return seen


def test_concluded_chains_teach_too_and_are_told_from_whole_ones() -> None:
    told = [one.observation for one in courses(10 * COLD_RUNS)]
    assert len(told) == 10 * COLD_RUNS and all(one.probes for one in told[:COLD_RUNS])
    ended = [one for one in told if one.history[0].stop_cause == "early_exit"]
    assert len(ended) > 5
    assert all(one.history[0].thinking_tokens == one.probes[-1].thinking_tokens for one in ended)
    whole = [one for one in told if one.plan is not None and one.plan.is_exploration]
    assert len(whole) >= COLD_RUNS
    assert all(one.history[0].ended_by_itself for one in whole)
    assert all(probe.tokens > 0 for one in whole for probe in one.probes)


def test_labels_reach_the_trials() -> None:
    first = courses(1)[0].observation
    assert first.right.keys() == {first.history[-1].answer, *(p.answer for p in first.probes)}
    assert sum(first.right.values()) <= 1


def test_exits_survive_a_restart_of_the_book(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    seen: list[Record] = [*courses(2 * COLD_RUNS)]
    kept = DurableCurveStore(path)
    kept.exchange(Report("w", 1, seen[:30]), "", 0)
    kept.snapshot()
    kept.exchange(Report("w", 2, seen[30:]), "", 0)
    line = json.loads((tmp_path / "curves.json.log").read_text(encoding="utf-8"))
    assert line["number"] == 2
    path = copied(path)  # as a kill leaves it
    kept.close()
    with DurableCurveStore(path) as again:
        before, after = kept.store.curve("m", "winding"), again.store.curve("m", "winding")
        key = (seen[0].model, "winding")
        assert again.store.entries[key].statistics == kept.store.entries[key].statistics
        assert before == after
    assert load(path).entries[key].statistics == kept.store.entries[key].statistics
