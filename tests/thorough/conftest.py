"""Real models for all tests of this folder. Without `make thorough`'s packages they are skipped."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.thorough import real_models
from workers.drivers.chain_engine import ChainEngine

# Before transformers is imported: it looks once for what it can use.
real_models.use_packages()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all where nothing to make the models of is installed."""
    if not real_models.PACKAGES.is_dir():
        skip = pytest.mark.skip(reason="run by `make thorough`")
        for item in items:
            if item.get_closest_marker("thorough"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def smollm() -> Path:
    return real_models.made("smollm2", real_models.smollm)


@pytest.fixture(scope="session")
def qwen2() -> Path:
    return real_models.made("qwen2", real_models.qwen2)


@pytest.fixture(scope="session")
def qwen3() -> Path:
    return real_models.made("qwen3", real_models.qwen3)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=["smollm", "qwen2", "qwen3"])
def engine(request: pytest.FixtureRequest, loop: asyncio.Runner) -> Iterator[ChainEngine]:
    """On real vLLM, in the format of its kind."""
    from workers.vllm.engine import VllmEngine
    from workers.vllm.setup import VllmOptions

    folder = request.getfixturevalue(request.param)
    format_ = "think-tags" if request.param == "qwen3" else "s1"

    async def start() -> Any:
        options = VllmOptions(str(folder), 2048, max_num_seqs=16, kv_cache_gib=1.0)
        return VllmEngine(options, format_=format_)

    engine = loop.run(start())
    yield engine
    loop.run(engine.close())
