"""One real engine in this process, for all tests of this folder."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from workers.engine import Engine

T = TypeVar("T")
Do = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def engine(loop: asyncio.Runner) -> Iterator[Engine]:
    """The embedded model on real vLLM."""
    from workers.vllm.engine import VllmEngine
    from workers.vllm.setup import VllmOptions

    async def start() -> Engine:
        return VllmEngine(VllmOptions("s1-pocket", kv_cache_gib=0.5))

    engine = loop.run(start())
    yield engine
    loop.run(engine.close())
