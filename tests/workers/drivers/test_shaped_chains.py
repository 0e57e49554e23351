"""What a request asks of its answer, and of its turn, reaches the core, and nothing else does."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from policies.plan import Budget
from policies.sampling import SamplingParams
from policies.signals import Probing, Signals
from tests.builders import changed
from workers.drivers.chain_engine import ChainEngine, ChainOptions
from workers.drivers.core import GenerateOptions, OutputDelta
from workers.drivers.driver import DRIVERS
from workers.engine import Refused, SampleRequest
from workers.forcing.chain import GenerateCall
from workers.format import S1, bind
from workers.sample import Delta, Sample, ToolCall
from workers.simulated.toy_core import ToyCore

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
TOOLS = json.dumps([TOOL])
JSON = '{"type": "json_object"}'
SAID = '{"sum": 3}'
CALLED = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'


class Recording(ToyCore):
    """Remembers every call; one that has no thinking stops is answered with `says`, if set."""

    def __init__(self, tokenizer: Any, *, says: str | None = None) -> None:
        format_ = bind(S1, tokenizer)
        words = tokenizer.encode("abc +1", add_special_tokens=False)
        super().__init__(format_, words, vocabulary=len(tokenizer))
        self.calls: list[tuple[GenerateCall, GenerateOptions]] = []
        self._says = says
        self._format = format_

    async def generate(
        self, name: str, tokens: Sequence[int], call: GenerateCall, sampling: GenerateOptions
    ) -> AsyncGenerator[OutputDelta]:
        self.calls.append((call, sampling))
        if self._says is None or self._format.stops <= call.stops:
            async for piece in super().generate(name, tokens, call, sampling):
                yield piece
            return
        said = self._format.encode(self._says)
        yield OutputDelta((*said, self.tokenizer.eos_token_id), "stop")

    def check_schema(self, schema: str) -> None:
        if "bogus" in schema:
            raise ValueError("no type is called bogus")


def asking(**fields: Any) -> SampleRequest:
    plain = SampleRequest("q", (("user", "1+1?"),), (0,), Budget(40), SamplingParams(0.0))
    return changed(plain, **fields)


def run(core: ToyCore, request: SampleRequest, driver: str = "session") -> list[Any]:
    engine = ChainEngine(core, bind(S1, core.tokenizer), ChainOptions("toy", driver=driver))

    async def main() -> list[Any]:
        return [event async for event in engine.sample(request)]

    return asyncio.run(main())


def one(core: ToyCore, request: SampleRequest, driver: str = "session") -> Sample:
    (sample,) = [each for each in run(core, request, driver) if isinstance(each, Sample)]
    assert sample.violations == ()
    return sample


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_schema_and_log_probabilities_are_asked_for_the_answer_alone(
    tokenizer: Any, driver: str
) -> None:
    core = Recording(tokenizer)
    budget = Budget(40, extensions=2, answer_tokens=9)
    sample = one(core, asking(budget=budget, response_format=JSON, logprobs=2), driver)
    *thinking, (_, answering) = core.calls
    assert thinking
    assert all(each.schema is None and each.params.logprobs is None for _, each in thinking)
    assert (answering.schema, answering.params.logprobs) == ('{"type":"object"}', 2)
    assert len(sample.logprobs) == sample.answer_tokens
    assert {len(token.top) for token in sample.logprobs} <= {2}


def test_log_probabilities_are_of_as_many_tokens_as_asked_beside_signals(tokenizer: Any) -> None:
    sample = one(Recording(tokenizer), asking(logprobs=1, signals=Signals(top=5)))
    assert sample.confidence is not None
    assert {len(token.top) for token in sample.logprobs} <= {1}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("cap", [0, 5, 40])
def test_nothing_is_put_before_json_where_the_thinking_is_cut(
    tokenizer: Any, driver: str, cap: int
) -> None:
    core = Recording(tokenizer, says=SAID)
    sample = one(core, asking(budget=Budget(cap), response_format=JSON), driver)
    assert (sample.text, sample.answer) == (SAID, '{"sum":3}')


def test_a_call_is_told_as_a_call_and_never_shown_as_text(tokenizer: Any) -> None:
    core = Recording(tokenizer, says=f"So: {CALLED}")
    events = run(core, asking(tools=TOOLS, stream=0))
    sample = events[-1]
    assert sample.tool_calls == (ToolCall("add", '{"a": 1}'),)
    assert sample.text == "So:"
    assert sample.answer == '[{"arguments":{"a":1},"name":"add"}]'
    shown = [event for event in events if isinstance(event, Delta)]
    assert {delta.phase for delta in shown} <= {"thinking"}


def test_where_no_tool_may_be_called_none_is(tokenizer: Any) -> None:
    core = Recording(tokenizer, says=CALLED)
    sample = one(core, asking(tools=TOOLS, tool_choice='"none"'))
    assert sample.tool_calls == ()
    assert sample.text == CALLED


def test_a_schema_that_the_core_cannot_hold_to_is_refused_before_anything(tokenizer: Any) -> None:
    wish = {"type": "json_schema", "json_schema": {"schema": {"type": "bogus"}}}
    core = Recording(tokenizer)
    with pytest.raises(Refused, match="no type is called bogus") as refused:
        run(core, asking(response_format=json.dumps(wish)))
    assert refused.value.field == "response_format"
    assert core.calls == []


def test_turn_and_tenant_reach_every_call_those_of_trials_too(tokenizer: Any) -> None:
    core = Recording(tokenizer)
    budget, probing = Budget(40, min_thinking_tokens=40), Probing(every=10, answer_tokens=4)
    turn: dict[str, Any] = {"priority": -3, "cache_salt": "ours", "top_p": 0.7}
    one(core, asking(budget=budget, probing=probing, **turn), "reprompt")
    assert len(core.calls) > 2
    asked = {(each.params.priority, each.params.cache_salt) for _, each in core.calls}
    assert asked == {(-3, "ours")}
    assert {each.params.top_p for _, each in core.calls if each.params.logprobs is None} == {0.7}


def test_every_chain_and_every_call_has_a_seed_of_its_own(tokenizer: Any) -> None:
    budget = Budget(60, extensions=2, answer_tokens=5)
    request = asking(seed=7, chains=(0, 1), budget=budget, temperature=1.0)

    def seeds(asked: SampleRequest) -> list[int]:
        core = Recording(tokenizer)
        run(core, asked, "reprompt")
        return sorted(sampling.params.seed or 0 for _, sampling in core.calls)

    first = seeds(request)
    assert len(first) == len(set(first)) > 2
    assert all(0 <= (seed or 0) < 2**63 for seed in first)
    assert seeds(request) == first
    assert not set(seeds(changed(request, seed=8))) & set(first)


@pytest.mark.parametrize("driver", DRIVERS)
def test_one_seed_gives_the_same_chains_again(tokenizer: Any, driver: str) -> None:
    def thoughts(seed: int | None) -> list[tuple[int, ...]]:
        events = run(Recording(tokenizer), asking(seed=seed, chains=(0, 1)), driver)
        samples = [event for event in events if isinstance(event, Sample)]
        return [sample.thinking_ids for sample in sorted(samples, key=lambda each: each.chain)]

    assert thoughts(5) == thoughts(5)
    assert thoughts(5) != thoughts(6)
    assert len(set(thoughts(5))) == 2
