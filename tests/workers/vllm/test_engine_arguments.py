"""Engine arguments of vLLM: how they are written, and which are refused."""

import pytest

from scheduler.config import EngineConfig, ServeConfig
from scheduler.engines import factory
from scheduler.settings import from_table
from scheduler.startup import settings
from workers.vllm.engine_arguments import OWN, REFUSED, check_arguments, read_pairs


@pytest.mark.parametrize(
    ("pairs", "arguments"),
    [
        ([], {}),
        (["quantization=fp8"], {"quantization": "fp8"}),
        (["--kv-cache-dtype=fp8", "seed=3"], {"kv_cache_dtype": "fp8", "seed": "3"}),
        (["revision=1e5"], {"revision": "1e5"}),
        (["enable_lora=true", "download_dir=/a=b"], {"enable_lora": True, "download_dir": "/a=b"}),
        (['hf_overrides={"a": [1]}'], {"hf_overrides": {"a": [1]}}),
        (
            ["speculative_config.method=ngram", "speculative_config.num_speculative_tokens=3"],
            {"speculative_config": {"method": "ngram", "num_speculative_tokens": 3}},
        ),
        (["hf_overrides.a.b=x", "hf_overrides.a.c=0"], {"hf_overrides": {"a": {"b": "x", "c": 0}}}),
    ],
)  # fmt: skip
def test_pairs_are_read(pairs: list[str], arguments: dict[str, object]) -> None:
    assert read_pairs(pairs) == arguments


@pytest.mark.parametrize("pairs", [["quantization"], ["=3"], [""], ["a=1", "a.b=2"]])
def test_what_is_no_pair_is_refused(pairs: list[str]) -> None:
    with pytest.raises(ValueError, match="--vllm"):
        read_pairs(pairs)


@pytest.mark.parametrize("name", [*OWN, *REFUSED, "data_parallel_size", "load_format"])
def test_what_would_break_a_promise_is_refused_with_the_reason(name: str) -> None:
    for written in (name, name.replace("_", "-")):
        with pytest.raises(ValueError, match=f"vllm.{written} .*refused: ....") as refused:
            check_arguments({written: "auto"})
        if name in OWN:
            assert OWN[name] in str(refused.value)


def test_formats_without_code_are_not() -> None:
    check_arguments({"load_format": "runai_streamer", "quantization": "fp8"})


def test_arguments_of_a_file_and_of_flags_are_one_table() -> None:
    table = {"engine": {"vllm": {"seed": 1, "quantization": "fp8"}}}
    config = settings(table, vllm={"seed": "2"})
    assert config.engine.vllm == {"seed": "2", "quantization": "fp8"}
    with pytest.raises(ValueError, match=r"engine\.vllm\.trust_remote_code is refused: code"):
        from_table(ServeConfig, {"engine": {"vllm": {"trust_remote_code": True}}})
    with pytest.raises(ValueError, match="kind is 'simulated'"):
        from_table(ServeConfig, {"engine": {"kind": "simulated", "vllm": {"seed": 1}}})


def test_without_arguments_vllm_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "ProcessPoolExecutor", None)
    factory.check_by_vllm(EngineConfig(), whole=True)
    factory.check_by_vllm(EngineConfig(kind="simulated"), whole=True)
