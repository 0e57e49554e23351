"""The same experiment against a running server, over HTTP."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from policies import build
from policies.price import Price
from scheduler.api.app import make_app
from scheduler.curves.wal import DurableCurveStore
from scheduler.errors import RequestError
from scheduler.experiments import runner
from scheduler.experiments.prepare import prepare
from scheduler.experiments.questions import reasoning_gym
from scheduler.experiments.report_files import write
from scheduler.experiments.results import load_results, read_cell
from scheduler.experiments.settings import EndpointConfig, ExperimentConfig
from scheduler.settings import from_table, read_toml
from scheduler.solving.controller import Controller
from scheduler.solving.pricing import Pricing
from tests.scheduler.experiments.test_runner import Steps
from workers.engine import Engine
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import reference

COUNT = 8


class Server:
    """The app with an engine in a thread; it can die, and come back."""

    def __init__(self, make: Callable[[], Engine] | None = None) -> None:
        self.curves = DurableCurveStore()
        self.make = make or partial(SimulatedEngine, tokens_per_second=1e6)
        self.bound = socket.socket()
        self.bound.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.bound.getsockname()[1]}/v1"
        self.server: uvicorn.Server | None = None
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)

    async def serve(self) -> None:
        engine = self.make()
        controller = Controller(
            engine=engine,
            info=await engine.info(),
            policy=build("majority", samples=5),
            curves=self.curves,
            pricing=Pricing(Price(3e-4)),
        )
        config = uvicorn.Config(make_app(controller), log_level="critical", lifespan="off")
        self.server = uvicorn.Server(config)
        task = asyncio.create_task(self.server.serve(sockets=[self.bound]))
        while not self.server.started:
            await asyncio.sleep(0.01)
        self.ready.set()
        await task
        await engine.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.thread.start()
    assert made.ready.wait(30)
    yield made
    assert made.server is not None
    made.server.should_exit = True
    made.thread.join(10)


def settings(server: Server, **fields: Any) -> ExperimentConfig:
    policies = {
        "three": {"policy": "majority", "samples": 3},
        "learned": {"policy": "priced"},
        "own": {"policy": "server"},
    }
    common = {
        "policies": policies,
        "questions": "simulated",
        "limit": COUNT,
        "engine": {"url": server.url},
    }
    return from_table(ExperimentConfig, common | fields)


def run(config: ExperimentConfig, folder: Path) -> int:
    prepared, steps = prepare(config), Steps()
    runner.run(prepared, runner.missing(prepared, folder), folder, steps)
    return steps.count


def test_a_server_runs_the_policies(tmp_path: Path, server: Server) -> None:
    assert run(settings(server), tmp_path) == 3 * COUNT
    rows = load_results(tmp_path)
    by_policy = {
        name: [row for row in rows if row["policy"] == name] for name in ("three", "learned", "own")
    }
    assert {len(found) for found in by_policy.values()} == {COUNT}
    assert {row["chains"] for row in by_policy["three"]} == {3}
    assert {row["chains"] for row in by_policy["own"]} == {5}
    assert all(row["correct"] is (row["answer"] == row["reference"]) for row in rows)
    assert all(row["tokens"] > 0 and row["model"] == "simulated" for row in rows)
    # Each cell is classes of its own there, and only what reads curves teaches.
    taught = server.curves.sizes("simulated")
    assert sum(taught.values()) == 2 * COUNT
    assert all(name.startswith(("endpoint~simulated~learned~0~", "endpoint~simulated~own~0~"))
               for name in taught)  # fmt: skip


@pytest.mark.slow
def test_an_engine_that_dies_in_the_middle_loses_nothing(tmp_path: Path, server: Server) -> None:
    config = settings(server, policies={"one": {"policy": "fixed"}}, concurrency=1)

    class KillsAt(Steps):
        def advance(self, note: str = "") -> None:
            super().advance(note)
            if self.count == 3:
                assert server.server is not None
                server.server.should_exit = True
                server.server.force_exit = True

    prepared = prepare(config)
    (cell,) = prepared.cells
    with pytest.raises(BaseExceptionGroup) as caught:
        runner.run(prepared, prepared.cells, tmp_path, KillsAt())
    assert caught.group_contains(RequestError)
    partial = cell.path(tmp_path).with_suffix(".partial")
    kept = read_cell(partial)
    assert 3 <= len(kept) < COUNT
    with partial.open("a", encoding="utf-8") as file:
        file.write('{"torn')

    again = Server()
    again.thread.start()
    assert again.ready.wait(30)
    config = settings(again, policies={"one": {"policy": "fixed"}}, concurrency=1)
    assert run(config, tmp_path) == COUNT
    rows = read_cell(cell.path(tmp_path))
    assert len({row["id"] for row in rows}) == len(rows) == COUNT
    assert [json.dumps(row) for row in rows[: len(kept)]] == [json.dumps(row) for row in kept]
    assert again.server is not None
    again.server.should_exit = True
    again.thread.join(10)


def test_a_server_of_another_kind_is_named(tmp_path: Path, server: Server) -> None:
    config = settings(server, engine={"url": server.url, "model": "other"})
    with pytest.raises(BaseExceptionGroup) as caught:
        run(config, tmp_path)
    (first, *_) = caught.value.exceptions
    assert isinstance(first, RequestError) and "other" in first.message


TASKS = ("chain_sum", "basic_arithmetic", "leg_counting", "letter_counting", "base_conversion")


class OwnVerifier:
    """Stands for the package: each question of a task names its answer, which alone is right."""

    class factory:
        DATASETS = dict.fromkeys(TASKS)

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def create_dataset(self, task: str, *, size: int, seed: int, **options: Any) -> Any:
        texts = [f"{task} easy question {seed}-{number}" for number in range(size)]
        entries = [{"question": text, "answer": reference(text)} for text in texts]
        return Dataset(task, entries, self.asked)


class Dataset(list[dict[str, str]]):
    def __init__(self, task: str, entries: list[dict[str, str]], asked: list[Any]) -> None:
        super().__init__(entries)
        self.task, self.asked = task, asked

    def score_answer(self, answer: str | None, entry: dict[str, str]) -> float:
        self.asked.append((self.task, answer))
        return 1.0 if answer == entry["answer"] else 0.01


def test_tasks_of_reasoning_gym_are_asked_of_a_server_and_graded_by_their_own_verifiers(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    gym = OwnVerifier()
    monkeypatch.setattr(reasoning_gym, "_gym", lambda: gym)
    reasoning_gym._scorer.cache_clear()
    file = Path(__file__).parents[3] / "experiments/reasoning_gym.toml"
    given = replace(read_toml(file, ExperimentConfig), engine=EndpointConfig(server.url), limit=2)
    assert {each.name for each in given.question_sets.values()} == {
        f"reasoning-gym:{task}" for task in TASKS
    }
    assert run(given, tmp_path) == 5 * 4 * 2
    rows = load_results(tmp_path)
    assert {row["questions"] for row in rows} == set(TASKS)
    assert all(row["error"] is None and row["tokens"] > 0 for row in rows)
    assert all(row["correct"] is (row["answer"] == row["reference"]) for row in rows)
    assert any(row["correct"] for row in rows)
    assert {(row["questions"], row["answer"]) for row in rows} <= set(gym.asked)
    text = write(tmp_path / "report", rows, config=given).read_text()
    assert all(f"{task} on endpoint" in text for task in TASKS)
    assert (tmp_path / "report" / "report.html").is_file()
    reasoning_gym._scorer.cache_clear()
