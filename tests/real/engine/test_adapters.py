"""A LoRA adapter beside its base, on one real vLLM engine."""

import asyncio
import json
from pathlib import Path

import pytest

from policies.plan import Budget
from policies.sampling import Adapter, SamplingParams
from scheduler.config import EngineConfig
from scheduler.engines.adapters import AdapterEngine, with_adapters
from scheduler.engines.factory import make_engine
from workers.engine import Engine, SampleRequest
from workers.sample import Sample

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

LAYERS, HIDDEN, RANK = 4, 128, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of s1-pocket, of random weights."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("adapter")
    weights = {}
    for layer in range(LAYERS):
        for name, width in (("q_proj", HIDDEN), ("v_proj", HIDDEN // 2)):
            at = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            weights[f"{at}.lora_A.weight"] = torch.randn(RANK, HIDDEN) * 0.3
            weights[f"{at}.lora_B.weight"] = torch.randn(width, RANK) * 0.3
    save_file(weights, str(folder / "adapter_model.safetensors"))
    about = {"peft_type": "LORA", "r": RANK, "lora_alpha": 16, "bias": "none"}
    about |= {"target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


async def greedy(engine: Engine) -> str:
    question = (("user", "a=3 b=a*7-2+5 c=b+4*3 c?"),)
    request = SampleRequest(
        "query", question, (0,), Budget(60, answer_tokens=32), SamplingParams(temperature=0.0)
    )
    events = [event async for event in engine.sample(request)]
    sample = events[-1]
    assert isinstance(sample, Sample)
    return sample.thinking + sample.text


def test_an_adapter_changes_what_is_said_and_its_base_says_what_it_did(
    loop: asyncio.Runner, engine: Engine, folder: Path
) -> None:
    config = with_adapters(EngineConfig(kv_cache_gib=0.25, max_num_seqs=8), {"odd": str(folder)})
    assert config.vllm == {"enable_lora": True, "max_lora_rank": 8, "max_loras": 1}

    async def main() -> tuple[str, str, str, str]:
        both = make_engine(config)
        try:
            odd = AdapterEngine(both, Adapter("odd", str(folder)))
            return await greedy(engine), await greedy(both), await greedy(odd), await greedy(both)
        finally:
            await both.close()

    plain, before, adapted, after = loop.run(main())
    assert plain == before == after != adapted
