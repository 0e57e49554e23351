"""Engine arguments as vLLM's own parser takes or refuses them, and an engine that has some."""

import asyncio

import pytest

from policies.plan import Budget
from scheduler.config import EngineConfig
from scheduler.engines.factory import check_by_vllm
from tests.real.engine.test_vllm_engine import for_all, many, questions
from workers.engine import Engine
from workers.vllm.engine_arguments import OWN, REFUSED

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize(
    ("argument", "value", "read"),
    [
        ("quantization", "fp8", "fp8"), ("kv-cache-dtype", "fp8", "fp8"),
        ("gpu_memory_utilization", "0.5", 0.5), ("max_num_batched_tokens", 4096, 4096),
        ("enable_lora", True, True), ("enable_lora", "false", False), ("revision", "-x", "-x"),
        ("hf_overrides", {"a": 1.5}, {"a": 1.5}), ("lora_target_modules", ["a", "b"], ["a", "b"]),
        ("speculative_config", {"method": "ngram"}, {"method": "ngram"}),
    ],
)  # fmt: skip
def test_values_are_read_as_vllm_reads_them(argument: str, value: object, read: object) -> None:
    from workers.vllm.arguments import parsed

    assert parsed({argument: value}) == {argument.replace("-", "_"): read}


@pytest.mark.parametrize(
    ("argument", "value", "told"),
    [
        ("quantizaton", "fp8", "did you mean 'quantization'"), ("help", 1, "not an engine"),
        ("kv_cache_dtype", "fp9", "invalid choice: 'fp9'"), ("dtype", "float99", "float99"),
        ("gpu_memory_utilization", "lots", "invalid float value: 'lots'"),
        ("enable_lora", 3, "must be true or false, got 3"), ("speculative_config", "x", "x"),
        ("trust_remote_code", True, "refused"),
    ],
)  # fmt: skip
def test_mistakes_are_told_by_their_argument(argument: str, value: object, told: str) -> None:
    from workers.vllm.arguments import parsed

    with pytest.raises(ValueError, match=told) as refused:
        parsed({argument: value})
    assert str(refused.value).startswith(f"vllm.{argument}")


def test_what_is_refused_is_what_vllm_has() -> None:
    from dataclasses import fields

    from vllm.engine.arg_utils import AsyncEngineArgs

    assert {*OWN, *REFUSED} <= {field.name for field in fields(AsyncEngineArgs)}


def test_vllm_checks_them_in_another_process() -> None:
    check_by_vllm(EngineConfig(vllm={"max_num_batched_tokens": "128"}), whole=True)
    # What its parser takes, and its configuration does not.
    too_few = EngineConfig(vllm={"max_num_batched_tokens": 3})
    with pytest.raises(ValueError, match="max_num_batched_tokens"):
        check_by_vllm(too_few, whole=True)


def test_speculative_decoding_keeps_budgets_and_tokens(
    loop: asyncio.Runner, engine: Engine
) -> None:
    from workers.vllm.engine import VllmEngine
    from workers.vllm.setup import VllmOptions

    drafts = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4}
    arguments = {"speculative_config": drafts, "seed": "3"}

    async def start() -> VllmEngine:
        return VllmEngine(VllmOptions("s1-pocket", kv_cache_gib=0.5, arguments=arguments))

    speculative = loop.run(start())
    assert speculative.options.driver == "reprompt"
    try:
        for budget in (Budget(300, extensions=2, answer_tokens=32), Budget(17, answer_tokens=16)):
            asked = for_all(questions(16), budget)
            first, second = many(loop, speculative, asked), many(loop, engine, asked)
            assert [s.thinking_ids for s in first] == [s.thinking_ids for s in second]
            assert [s.text for s in first] == [s.text for s in second]
            assert all(sample.violations == () for sample in first)
    finally:
        loop.run(speculative.close())
