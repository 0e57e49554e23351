"""How engine cores fail: one hangs, dies, cannot start, or loses the process that uses it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from policies.plan import Budget
from tests.real.engine.test_vllm_engine import all_events, questions, request
from workers.drivers.chain_engine import ChainEngine
from workers.drivers.core import CoreDied
from workers.models import POCKET_FOLDER
from workers.sample import Sample

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

WATCHDOG_SECONDS = 2.0
LONG = Budget(1800, 1800, answer_tokens=32)


@pytest.fixture
def mortal(loop: asyncio.Runner) -> Iterator[ChainEngine]:
    from workers.vllm.engine import VllmEngine
    from workers.vllm.setup import VllmOptions

    async def start() -> ChainEngine:
        options = VllmOptions("s1-pocket", kv_cache_gib=0.1, watchdog_seconds=WATCHDOG_SECONDS)
        return VllmEngine(options)

    engine = loop.run(start())
    yield engine
    loop.run(engine.close())


def core_of_newest_engine() -> psutil.Process:
    cores = [p for p in psutil.Process().children() if "EngineCore" in p.name()]
    return max(cores, key=lambda process: process.create_time())


def test_a_core_that_hangs_is_found_and_one_that_dies_loses_its_chains(
    loop: asyncio.Runner, mortal: ChainEngine
) -> None:
    core = core_of_newest_engine()
    wanted = request(questions(1)[0], LONG, chains=(0, 1, 2), temperature=None)

    async def scenario() -> list[Sample]:
        await mortal.check()
        running = asyncio.create_task(all_events(mortal.sample(wanted)))
        while mortal.core.watchdog.working < 3:  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        os.kill(core.pid, signal.SIGSTOP)
        await asyncio.sleep(WATCHDOG_SECONDS / 2)
        await mortal.check()  # silence, but not for long enough
        await asyncio.sleep(WATCHDOG_SECONDS)
        with pytest.raises(CoreDied, match="has said nothing for"):
            await mortal.check()
        os.kill(core.pid, signal.SIGKILL)
        events = await asyncio.wait_for(running, 30)
        with pytest.raises(CoreDied, match="died"):
            await mortal.check()
        later = await asyncio.wait_for(all_events(mortal.sample(wanted)), 30)
        return [event for event in [*events, *later] if isinstance(event, Sample)]

    samples = loop.run(scenario())
    assert [sample.stop_cause for sample in samples] == ["lost"] * 6
    assert [sample.answer for sample in samples] == [None] * 6
    assert sum(sample.generated_tokens for sample in samples[:3]) > 0
    assert sum(sample.generated_tokens for sample in samples[3:]) == 0


def test_a_core_that_cannot_load_its_model_says_why(tmp_path: Path) -> None:
    from workers.vllm.core import VllmCore
    from workers.vllm.setup import Setup, VllmOptions

    broken = tmp_path / "broken"
    shutil.copytree(POCKET_FOLDER, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    setup = Setup(VllmOptions(str(broken), kv_cache_gib=0.1))
    with pytest.raises(RuntimeError, match="the engine core did not start: .*SafetensorError: "):
        VllmCore(setup)


HOLD_AN_ENGINE = """
import asyncio
import psutil
from workers.vllm.setup import VllmOptions
from workers.vllm.engine import VllmEngine

async def main():
    engine = VllmEngine(VllmOptions("s1-pocket", kv_cache_gib=0.1))
    print(*[p.pid for p in psutil.Process().children() if "EngineCore" in p.name()], flush=True)
    await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_core_ends_with_a_process_that_is_killed() -> None:
    command = [sys.executable, "-c", HOLD_AN_ENGINE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        core = None
        try:
            for line in process.stdout:  # vLLM logs to the same place
                if line.strip().isdigit():
                    core = psutil.Process(int(line))
                    break
            assert core is not None, "no engine core was started"
            process.kill()
            process.wait()
            ends = time.monotonic() + 30
            while core.is_running() and core.status() != psutil.STATUS_ZOMBIE:
                assert time.monotonic() < ends, "the engine core outlives the process that used it"
                time.sleep(0.1)
        finally:
            process.kill()
            if core is not None and core.is_running():
                core.kill()


def test_a_long_prompt_is_read_in_silence_and_is_no_hang(
    loop: asyncio.Runner, tmp_path: Path
) -> None:
    from tests.real.engine.wandering import build
    from workers.vllm.engine import VllmEngine
    from workers.vllm.setup import VllmOptions

    arguments = {"hf_overrides": {"max_position_embeddings": 16384}}
    folder, seconds = str(build(tmp_path)), 30.0

    async def scenario() -> tuple[list[Sample], list[tuple[float, float]]]:
        options = VllmOptions(folder, 16384, kv_cache_gib=0.5, watchdog_seconds=seconds,
                              arguments=arguments)  # fmt: skip
        engine = VllmEngine(options, format_="s1")
        try:
            wanted = request("1 + 2 = 3, " * 1200, Budget(20, answer_tokens=8))
            running = asyncio.create_task(all_events(engine.sample(wanted)))
            seen = []
            while not running.done():
                await engine.check()  # raises where it counts as hung
                watchdog = engine.core.watchdog  # type: ignore[attr-defined]
                seen.append((watchdog.silence, watchdog.limit))
                await asyncio.sleep(0.02)
            return [event for event in running.result() if isinstance(event, Sample)], seen
        finally:
            await engine.close()

    (sample,), seen = loop.run(scenario())
    assert sample.stop_cause == "max_thinking"
    reading = [(silence, limit) for silence, limit in seen if limit > seconds]
    # The time that the reading is granted covers the longest silence, whatever the setting is.
    assert max(silence for silence, _ in reading) > 0.3
    assert all(silence < limit - seconds for silence, limit in reading)
    assert seen[-1][1] == seconds
