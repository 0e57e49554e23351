"""Chains by vLLM's own server, over HTTP, are those of the same engine in this process."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner

from policies.plan import Budget
from policies.signals import Probe, Probing, Signals
from scheduler.experiments import runner
from scheduler.experiments.completions_engine import completions_engine
from scheduler.experiments.prepare import prepare
from scheduler.experiments.results import read_cell
from scheduler.experiments.settings import CompletionsConfig, ExperimentConfig
from scheduler.settings import from_table
from tests.endpoint import free_port
from tests.real.engine.test_vllm_engine import all_events, questions, request
from tests.scheduler.experiments.test_runner import Steps
from thinkbudget import main
from workers.drivers.chain_engine import ChainEngine
from workers.engine import SampleRequest
from workers.models import POCKET_FOLDER
from workers.sample import Sample

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

COUNT = 5
KEY = "vllm-key"


@asynccontextmanager
async def vllm_server(engine: ChainEngine) -> AsyncIterator[str]:
    """The address of vLLM's OpenAI server round this engine."""
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    llm: Any = engine.core._llm  # type: ignore[attr-defined]
    flags = ["--model", str(POCKET_FOLDER), "--served-model-name", "toy", "--api-key", KEY]
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(flags)
    tasks = await llm.get_supported_tasks()
    app = build_app(args, tasks, llm.model_config)
    await init_app_state(llm, app.state, args, tasks)
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_level="warning", lifespan="off", access_log=False)
    )
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


async def facts(engine: ChainEngine, wanted: SampleRequest) -> tuple[Sample, list[Probe]]:
    events = await all_events(engine.sample(wanted))
    probes = sorted(event for event in events if isinstance(event, Probe))
    return next(event for event in events if isinstance(event, Sample)), probes


def test_a_servers_chains_are_those_of_its_engine(
    loop: asyncio.Runner, engine: ChainEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    budgets = (Budget(400), Budget(20), Budget(600, extensions=2), Budget(300, 120))
    probing = Probing(at=(16, 32, 64, 128), waits=True)

    async def compare() -> None:
        async with vllm_server(engine) as url:
            there = await completions_engine(CompletionsConfig("completions", url))
            assert there.says == (True, True, True)
            for text in questions(COUNT):
                for budget in budgets:
                    wanted = request(text, budget, probing=probing, signals=Signals(window=16))
                    (own, own_probes) = await facts(engine, wanted)
                    (told, told_probes) = await facts(there, wanted)
                    for name in (
                        "thinking_ids", "text", "answer", "stop_cause", "extensions", "complete",
                        "tokens", "generated_tokens", "discarded_tokens", "violations",
                    ):  # fmt: skip
                        assert getattr(told, name) == getattr(own, name), name
                    assert told.confidence == pytest.approx(own.confidence, rel=1e-3)
                    assert [p[:3] for p in told_probes] == [p[:3] for p in own_probes]
                    assert [p.probability for p in told_probes] == pytest.approx(
                        [p.probability for p in own_probes], rel=1e-3
                    )
                    tried = [p.thinking_tokens for p in told_probes]
                    assert tried == [at for at in probing.at if at <= told.thinking_tokens]
            await there.close()

    loop.run(compare())


def test_a_vllm_server_is_recorded_and_replayed(
    loop: asyncio.Runner, engine: ChainEngine, tmp_path: Path
) -> None:
    command = ["collect", "pocket", "--samples", "3", "--extensions", "2", "--limit", str(COUNT)]

    async def record(key: str) -> Any:
        async with vllm_server(engine) as url:
            flags = [*command, "--url", url, "--api-key", key, "-o", str(tmp_path / "out")]
            return await asyncio.to_thread(CliRunner().invoke, main, flags)

    refused = loop.run(record("wrong"))
    assert refused.exit_code == 2 and refused.output.count("\n") == 1, refused.output
    done = loop.run(record(KEY))
    assert done.exit_code == 0, done.output
    (log,) = (tmp_path / "out" / "outcomes").glob("*.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == COUNT
    for line in lines:
        assert len({each["chain"] for each in line["samples"]}) == 4
        assert all(each["confidence"]["mean"] > 0 for each in line["samples"])
        assert any(each["probes"] for each in line["samples"])
    table = {
        "policies": {
            "alone": {"policy": "fixed", "extensions": [0, 1]},
            "votes": {"policy": "majority", "samples": [1, 3]},
            "sure": {"policy": "deepconf", "samples": 3},
            "cut": {"policy": "fixed", "max_thinking_tokens": 16},
        },
        "engine": {"kind": "replayed", "recording": str(tmp_path / "out" / "outcomes")},
    }
    prepared = prepare(from_table(ExperimentConfig, table))
    runner.run(prepared, prepared.cells, tmp_path / "replay", Steps())
    rows = [row for cell in prepared.cells for row in read_cell(cell.path(tmp_path / "replay"))]
    assert len(rows) == 6 * COUNT
    assert [row["error"] for row in rows if row["error"]] == []
    alone = {row["id"]: row["answer"] for row in rows if row["policy"] == "alone-extensions=0"}
    first = {
        line["question_id"]: each["answer"]
        for line in lines
        for each in line["samples"]
        if (each["chain"], each["extensions"]) == (0, 0)
    }
    assert alone == first
