"""Votes and `priced` from cold on reasoning-gym's tasks, graded by its own verifiers."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policies import build
from policies.base import Message, Query
from policies.price import Price
from scheduler.curves.wal import DurableCurveStore
from scheduler.experiments.report_files import write
from scheduler.experiments.results import load_results
from scheduler.experiments.settings import EndpointConfig, ExperimentConfig
from scheduler.settings import read_toml
from scheduler.solving.controller import Controller
from scheduler.solving.pricing import Pricing
from tests.scheduler.experiments.test_endpoint import Server, run
from tests.thorough import real_models

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("default")]

COUNT = 12
HARDNESS: dict[str, Any] = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}


def test_votes_and_priced_answer_within_their_limits(loop: asyncio.Runner, smollm: Path) -> None:
    real_models.use_packages()
    import reasoning_gym

    tasks = reasoning_gym.create_dataset("chain_sum", size=COUNT, seed=1, **HARDNESS)

    async def main() -> None:
        from workers.vllm.engine import VllmEngine
        from workers.vllm.setup import VllmOptions

        options = VllmOptions(str(smollm), 1024, max_num_seqs=16, kv_cache_gib=1.0)
        engine = VllmEngine(options, format_="s1")
        try:
            for name, own in (("majority", {"samples": 3}), ("priced", {"max_samples": 4})):
                policy = build(name, max_thinking_tokens=60, answer_tokens=24, **own)
                with DurableCurveStore() as curves:
                    controller = Controller(
                        engine=engine,
                        info=await engine.info(),
                        policy=policy,
                        curves=curves,
                        pricing=Pricing(Price(1e-3)),
                    )
                    outcomes = await asyncio.gather(
                        *(
                            controller.answer(_query(f"{name}-{n}", task))
                            for n, task in enumerate(tasks)
                        )
                    )
                    sizes = curves.sizes(controller.info.model)
                assert not controller.violations
                assert sizes == {"sums": COUNT}
                grades = [
                    tasks.score_answer(outcome.answer, entry=task)
                    for outcome, task in zip(outcomes, tasks, strict=True)
                ]
                print(f"{name}: {sum(grade == 1 for grade in grades)} of {COUNT} right")
                # The model is too small to be right often; its verifier knows what is right.
                assert all(0 <= grade <= 1 for grade in grades)
                assert all(tasks.score_answer(task["answer"], entry=task) == 1 for task in tasks)
                assert all(outcome.records for outcome in outcomes)
        finally:
            await engine.close()

    loop.run(main())


def test_five_tasks_are_asked_of_a_live_server_and_graded(tmp_path: Path, smollm: Path) -> None:
    real_models.use_packages()
    from workers.vllm.engine import VllmEngine
    from workers.vllm.setup import VllmOptions

    file = Path(__file__).parents[2] / "experiments/reasoning_gym.toml"
    options = VllmOptions(str(smollm), 2048, max_num_seqs=16, kv_cache_gib=1.0)
    server = Server(lambda: VllmEngine(options, format_="s1"))
    server.thread.start()
    assert server.ready.wait(300)
    try:
        config = replace(
            read_toml(file, ExperimentConfig),
            engine=EndpointConfig(server.url),
            limit=2,
            max_total_tokens=400,
            answer_tokens=48,
        )
        assert run(config, tmp_path) == 5 * 4 * 2
    finally:
        assert server.server is not None
        server.server.should_exit = True
        server.thread.join(60)
    rows = load_results(tmp_path)
    assert all(row["error"] is None and row["tokens"] > 0 for row in rows)
    assert all(isinstance(row["correct"], bool) for row in rows)
    report = write(tmp_path / "report", rows, config=config).read_text()
    print(report)
    assert all(f"{name} on endpoint" in report for name in config.question_sets)


def _query(name: str, task: dict[str, Any]) -> Query:
    text = f"{task['question']} Think step by step, then give only the number."
    plain = Query(name, (Message("user", text),))
    return replace(plain, query_class="sums", reference=task["answer"])
