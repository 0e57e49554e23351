"""A model whose weights overflow says NaN of its tokens; what is told of them are numbers."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from policies.plan import Budget
from policies.signals import Probe, Probing, Signals
from tests.builders import changed
from workers.drivers.chain_engine import ChainEngine, ChainOptions
from workers.drivers.core import GenerateOptions, OutputDelta, TokenLogprobs
from workers.engine import SampleRequest
from workers.forcing.chain import GenerateCall
from workers.format import S1, bind
from workers.sample import Sample
from workers.simulated.toy_core import ToyCore


class Overflowing(ToyCore):
    async def generate(
        self, name: str, tokens: Sequence[int], call: GenerateCall, options: GenerateOptions
    ) -> AsyncGenerator[OutputDelta]:
        async for delta in super().generate(name, tokens, call, options):
            scores = [
                TokenLogprobs(math.nan, (math.nan, -math.inf), (each.ids * 2)[:2])
                for each in delta.logprobs
            ]
            yield delta._replace(logprobs=tuple(scores))


def test_what_is_told_of_a_model_that_says_nan_are_numbers(tokenizer: Any) -> None:
    format_ = bind(S1, tokenizer)
    core = Overflowing(format_, format_.encode("a b 1"), vocabulary=1 << 20, one_in=1 << 30)
    engine = ChainEngine(core, format_, ChainOptions("toy", driver="reprompt"))
    asked = SampleRequest(
        "q", (("user", "1+1?"),), (0,), Budget(64),
        probing=Probing(at=(16,), waits=True), signals=Signals(top=2, window=8),
    )  # fmt: skip

    async def main() -> list[Any]:
        return [event async for event in engine.sample(changed(asked, logprobs=2))]

    events = asyncio.run(main())
    (sample,) = (event for event in events if isinstance(event, Sample))
    (probe,) = (event for event in events if isinstance(event, Probe))
    assert sample.confidence is not None and sample.logprobs
    json.dumps([sample.confidence, probe.probability], allow_nan=False)
    json.dumps([(each.logprob, each.top) for each in sample.logprobs], allow_nan=False)
    assert (sample.confidence.answer, probe.probability) == (0.0, 0.0)
