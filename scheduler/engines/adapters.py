"""LoRA adapters: the weights of one base model, and small ones beside them that requests name."""

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from pathlib import Path

from policies.sampling import Adapter
from scheduler.config import EngineConfig
from workers.completion import CompletionEvent, CompletionRequest
from workers.engine import Engine, EngineEvent, EngineInfo, Load, SampleRequest

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for."""


def with_adapters(engine: EngineConfig, adapters: Mapping[str, str]) -> EngineConfig:
    """The engine with room for its adapters. Raises ValueError for one that is not there."""
    if not adapters or engine.kind != "vllm":
        return engine
    ranks = [_rank(name, Path(folder)) for name, folder in adapters.items()]
    most = next((rank for rank in RANKS if rank >= max(ranks)), max(ranks))
    room = {"enable_lora": True, "max_lora_rank": most, "max_loras": len(adapters)}
    return replace(engine, vllm=room | engine.vllm)


def _rank(name: str, folder: Path) -> int:
    file = folder / "adapter_config.json"
    try:
        rank = json.loads(file.read_text(encoding="utf-8"))["r"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"adapters.{name}: {file} cannot be read as an adapter: {why}") from None
    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"adapters.{name}: {file}: r must be a positive number, got {rank!r}")
    return rank


class AdapterEngine:
    """The engine of a base model with one of its adapters: an `Engine`, whose `close` is none."""

    def __init__(self, base: Engine, adapter: Adapter) -> None:
        self._base, self._adapter = base, adapter

    async def info(self) -> EngineInfo:
        return (await self._base.info())._replace(model=self._adapter.name)

    def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        sampling = replace(request.sampling, adapter=self._adapter)
        return self._base.sample(replace(request, sampling=sampling))

    def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        sampling = replace(request.sampling, adapter=self._adapter)
        return self._base.complete(replace(request, sampling=sampling))

    async def cancel(self, query: str, chain: int | None = None) -> None:
        await self._base.cancel(query, chain)

    async def conclude(self, query: str, chain: int) -> None:
        await self._base.conclude(query, chain)

    async def load(self) -> Load:
        return await self._base.load()

    def stats(self) -> Mapping[str, int]:
        return self._base.stats()

    async def check(self) -> None:
        await self._base.check()

    async def close(self) -> None:
        """The base is others', too."""
