"""A model whose makers' `generation_config.json` holds what would break requests."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from policies.plan import Budget
from tests.real.engine.test_vllm_engine import for_all, many, questions
from workers.engine import Engine
from workers.models import POCKET_FOLDER

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

# `max_new_tokens` and the ill-typed ones would make every request fail.
FILE = {
    "do_sample": True, "max_new_tokens": 3, "temperature": 0.7, "top_p": "0.9", "top_k": 40,
    "repetition_penalty": 3.0, "presence_penalty": 1.5, "min_new_tokens": 50, "num_beams": 4,
    "eos_token_id": [2, "</s>"], "cache_implementation": "unheard of", "stop_strings": ["a"],
}  # fmt: skip


def pocket_with(folder: Path, text: str) -> str:
    """The embedded model with another file of its makers."""
    shutil.copytree(POCKET_FOLDER, folder, dirs_exist_ok=True)
    (folder / "generation_config.json").write_text(text, encoding="utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def advised(loop: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    from workers.vllm.engine import VllmEngine
    from workers.vllm.setup import VllmOptions

    model = pocket_with(tmp_path_factory.mktemp("advised"), json.dumps(FILE))

    async def start() -> Engine:
        return VllmEngine(VllmOptions(model, kv_cache_gib=0.5), format_="s1")

    engine = loop.run(start())
    yield engine
    loop.run(engine.close())


def test_the_engine_tells_which_values_are_in_force(
    loop: asyncio.Runner, advised: Engine, engine: Engine
) -> None:
    info = loop.run(advised.info())
    assert info.sampling == (
        "temperature 0.7, top_k 40, presence_penalty 1.5 "
        "(ignored: top_p '0.9', repetition_penalty 3.0, max_new_tokens 3)"
    )
    assert (info.temperature, info.greedy) == (0.7, True)
    assert loop.run(engine.info()).sampling == "temperature 1"


@pytest.mark.parametrize("temperature", [None, 0.0, 0.5])
def test_the_file_breaks_no_request_and_no_budget(
    loop: asyncio.Runner, advised: Engine, temperature: float | None
) -> None:
    budget = Budget(90, 60, 1, answer_tokens=32)
    samples = many(loop, advised, for_all(questions(8), budget, temperature=temperature))
    assert all(sample.violations == () for sample in samples)
    # Neither `max_new_tokens` nor `min_new_tokens` bounds a chain.
    assert all(60 <= sample.thinking_tokens <= 90 for sample in samples)


@pytest.mark.parametrize("compat", ["harness", "readme"])
def test_the_papers_own_code_knows_no_recommended_values(
    loop: asyncio.Runner, advised: Engine, engine: Engine, compat: str
) -> None:
    asked = questions(12)
    own = Budget(60, 0, 1, answer_tokens=16)
    paper = replace(own, harness_compat=compat == "harness", readme_compat=compat == "readme")
    first, second = (many(loop, each, for_all(asked, paper)) for each in (advised, engine))
    assert [s.thinking_ids for s in first] == [s.thinking_ids for s in second]
    assert [s.text for s in first] == [s.text for s in second]
    first, second = (many(loop, each, for_all(asked, own)) for each in (advised, engine))
    assert [s.thinking_ids for s in first] != [s.thinking_ids for s in second]


@pytest.mark.parametrize(
    "text",
    ["[1]", "{torn", "3", '{"max_new_tokens": "x"}', '{"max_new_tokens": -5}', "{}",
     '{"eos_token_id": "</s>"}', '{"eos_token_id": [2, null]}', '{"early_stopping": "q"}',
     '{"watermarking_config": 3}', '{"temperature": NaN}', '{"max_length": 2}'],
)  # fmt: skip
def test_no_file_keeps_an_engine_from_starting(tmp_path: Path, text: str) -> None:
    from vllm import SamplingParams

    from workers.vllm.setup import Setup, VllmOptions

    setup = Setup(VllmOptions(pocket_with(tmp_path, text), kv_cache_gib=0.5))
    assert setup.recommended.values == {"temperature": 1.0}
    # What vLLM itself reads at the start, and does with every request.
    read = setup.config.model_config.try_get_generation_config()
    parameters = SamplingParams()
    parameters.update_from_generation_config(read, 2)
    assert {*parameters.all_stop_token_ids} == {2}
