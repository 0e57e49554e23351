"""Two queries of one id at once: neither ends, loses or forgets a chain of the other."""

import asyncio
from typing import Any

import pytest

from policies.plan import Budget
from workers.drivers.chain_engine import ChainEngine, ChainOptions
from workers.engine import Engine, SampleRequest
from workers.format import S1, bind
from workers.models import POCKET_FOLDER
from workers.sample import Sample
from workers.simulated.engine import SimulatedEngine
from workers.simulated.toy_core import ToyCore


def toy() -> Engine:
    transformers = pytest.importorskip("transformers")
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
        str(POCKET_FOLDER), local_files_only=True
    )
    format_ = bind(S1, tokenizer)
    words = tokenizer.encode("abc +1", add_special_tokens=False)
    core = ToyCore(
        format_, words, vocabulary=len(tokenizer), one_in=500, seconds_per_token=0.01
    )  # fmt: skip
    return ChainEngine(core, format_, ChainOptions("toy"))


def request(chains: int, thinking: int) -> SampleRequest:
    return SampleRequest("same", (("user", "a=1 a?"),), tuple(range(chains)), Budget(thinking))


async def samples(engine: Engine, asked: SampleRequest, after: float = 0.0) -> list[Sample]:
    await asyncio.sleep(after)
    return [event async for event in engine.sample(asked) if isinstance(event, Sample)]


@pytest.mark.parametrize("make", [toy, SimulatedEngine])
@pytest.mark.parametrize(("first", "second"), [(10, 200), (200, 10), (50, 50)])
async def test_each_gets_its_own_chains(make: Any, first: int, second: int) -> None:
    engine = make()
    told = await asyncio.gather(
        samples(engine, request(2, first)),
        samples(engine, request(3, second), after=0.01),
        samples(engine, request(1, second), after=0.02),
    )
    assert [len(each) for each in told] == [2, 3, 1]
    assert not any(sample.stop_cause in ("lost", "cancelled") for each in told for sample in each)
    await engine.cancel("same")  # nothing is left


@pytest.mark.parametrize("make", [toy, SimulatedEngine])
async def test_a_cancelled_id_is_cancelled_in_all_of_its_requests(make: Any) -> None:
    engine = make()
    running = asyncio.gather(*(samples(engine, request(2, 400)) for _ in range(2)))
    await asyncio.sleep(0.05)
    await engine.cancel("same")
    told = await running
    assert {sample.stop_cause for each in told for sample in each} == {"cancelled"}
