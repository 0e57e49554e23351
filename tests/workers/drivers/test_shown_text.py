"""What a chain shows: whole characters, nothing after a stop, no half of a call."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from policies.plan import Budget
from policies.sampling import SamplingParams
from scheduler.api.stop_sequences import StopSequenceFilter
from tests.builders import changed
from workers.drivers.chain_engine import ChainEngine, ChainOptions
from workers.drivers.core import GenerateOptions, OutputDelta
from workers.drivers.driver import DRIVERS
from workers.engine import SampleRequest
from workers.forcing.chain import GenerateCall
from workers.format import S1, bind
from workers.sample import Delta, Sample
from workers.simulated.toy_core import ToyCore

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


class Reciting(ToyCore):
    """Thinks one text and answers with another, a token a piece, and heeds stop texts."""

    def __init__(self, tokenizer: Any, thinks: str, says: str) -> None:
        self._bound = bind(S1, tokenizer)
        super().__init__(self._bound, [], vocabulary=len(tokenizer))
        stop, end = [*self._bound.stops][:1], [tokenizer.eos_token_id]
        self._thinks, self._says = [*self._bound.encode(thinks), *stop], [
            *self._bound.encode(says), *end,
        ]  # fmt: skip
        self._said = 0

    async def generate(
        self, name: str, tokens: Sequence[int], call: GenerateCall, options: GenerateOptions
    ) -> AsyncGenerator[OutputDelta]:
        thinking = self._bound.stops <= call.stops
        script = self._thinks if thinking else self._says[self._said :]
        made: list[int] = []
        for token in script[: call.max_tokens]:
            made.append(token)
            self._said += not thinking
            text = self._bound.decode(made)
            ended = token in call.stops or any(stop in text for stop in call.stop_texts)
            is_last = ended or len(made) == call.max_tokens
            finish: Any = "stop" if ended else "length" if is_last else None
            yield OutputDelta((token,), finish)
            if ended:
                return


def run(core: ToyCore, driver: str = "session", **fields: Any) -> tuple[Sample, str, str]:
    """The sample, and the thinking and the answer that were streamed."""
    plain = SampleRequest(
        "q", (("user", "1+1?"),), (0,), Budget(200), SamplingParams(0.0), stream=0
    )
    engine = ChainEngine(core, bind(S1, core.tokenizer), ChainOptions("toy", driver=driver))

    async def main() -> list[Any]:
        return [event async for event in engine.sample(changed(plain, **fields))]

    events = asyncio.run(main())
    told = {"thinking": "", "answer": ""}
    for event in events:
        if isinstance(event, Delta):
            told[event.phase] += event.text
    (sample,) = [event for event in events if isinstance(event, Sample)]
    assert sample.violations == ()
    return sample, told["thinking"], told["answer"]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("text", ["a 😀 b", "größe", "漢字です", "x\ufe0f\u200d👩‍👩‍👧", "abc\n\n"])
def test_a_cap_inside_a_character_shows_whole_characters(
    tokenizer: Any, driver: str, text: str
) -> None:
    length = len(bind(S1, tokenizer).encode(text))
    for cap in range(1, length + 3):
        budget = Budget(cap, answer_tokens=cap)
        sample, thinking, answer = run(Reciting(tokenizer, text, text), driver, budget=budget)
        assert sample.thinking_tokens == min(cap, length)
        assert sample.answer_tokens == min(cap, length)
        assert "\ufffd" not in sample.thinking + sample.text
        assert text.startswith(sample.thinking)
        assert thinking == sample.thinking, "the same in a stream"
        assert answer.strip() == sample.text


@pytest.mark.parametrize(
    ("says", "stops", "text", "vote"),
    [
        ("It is 12. Question: next? 99", ("Question:",), "It is 12. ", "12"),
        ("12\n13\n14", ("\n",), "12", "12"),
        ("\n\n12\n13", ("\n",), "12", "12"),
        ("Answer: 7 or 8", (" or", "8"), "Answer: 7", "7"),
        ("Answer: 7 or 8", ("never",), "Answer: 7 or 8", "7 or 8"),
        ("Final Answer: 7", ("Answer",), "Final ", "final"),
        ("größe 1 größe 2", ("ö",), "gr", "gr"),
    ],
)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_stop_ends_the_answer_its_vote_and_its_bill(
    tokenizer: Any, driver: str, says: str, stops: tuple[str, ...], text: str, vote: str
) -> None:
    core = Reciting(tokenizer, "hm", says)
    sample, _, told = run(core, driver, answer_stops=stops)
    live = StopSequenceFilter(stops)
    shown = live.feed(told)
    assert shown + live.close(sample.text) == sample.text, "the same in a stream"
    assert (sample.text, sample.answer, sample.complete) == (text, vote, True)
    if text != says:
        whole = run(Reciting(tokenizer, "hm", says), driver)[0]
        assert sample.tokens < whole.tokens


def test_a_stop_that_comes_before_the_limit_is_no_length(tokenizer: Any) -> None:
    budget = Budget(20, answer_tokens=4)
    sample, _, _ = run(Reciting(tokenizer, "hm", "1#2222222"), budget=budget, answer_stops=("#",))
    assert (sample.complete, sample.text) == (True, "1")
    cut, _, _ = run(Reciting(tokenizer, "hm", "1222222"), budget=budget, answer_stops=("#",))
    assert not cut.complete


@pytest.mark.parametrize("choice", ['"required"', '{"type":"function","function":{"name":"add"}}'])
@pytest.mark.parametrize("most", [3, 10, 20])
def test_a_forced_call_that_is_cut_shows_nothing_of_it(
    tokenizer: Any, choice: str, most: int
) -> None:
    says = '[{"name": "add", "arguments": {"a": 1, "b": 2, "c": 3}}]'
    sample, _, answer = run(
        Reciting(tokenizer, "hm", says),
        budget=Budget(20, answer_tokens=most),
        tools=json.dumps([TOOL]),
        tool_choice=choice,
    )
    assert (sample.text, sample.tool_calls, sample.complete, answer) == ("", (), False, "")


@pytest.mark.parametrize("most", [5, 20, 40])
def test_a_tagged_call_that_is_cut_shows_nothing_of_it(tokenizer: Any, most: int) -> None:
    says = 'So: <tool_call>{"name": "add", "arguments": {"a": 1, "b": 2, "c": 3}}</tool_call>'
    budget = Budget(20, answer_tokens=most)
    sample, _, _ = run(Reciting(tokenizer, "hm", says), budget=budget, tools=json.dumps([TOOL]))
    assert "{" not in sample.text and "<tool" not in sample.text


def test_one_call_alone_where_no_more_are_wanted(tokenizer: Any) -> None:
    call = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
    for parallel, count in ((True, 3), (False, 1)):
        core = Reciting(tokenizer, "hm", call * 3)
        budget = Budget(20, answer_tokens=300)
        tools = json.dumps([TOOL])
        sample, _, _ = run(core, budget=budget, tools=tools, parallel_tool_calls=parallel)
        assert len(sample.tool_calls) == len(json.loads(sample.answer or "")) == count


class Asked(Reciting):
    schema = ""

    def check_schema(self, schema: str) -> None:
        self.schema = schema


@pytest.mark.parametrize(("parallel", "most"), [(True, 8), (False, 1)])
def test_the_number_of_required_calls_is_bounded(tokenizer: Any, parallel: bool, most: int) -> None:
    core = Asked(tokenizer, "hm", '[{"name": "add", "arguments": {}}]')
    run(core, tools=json.dumps([TOOL]), tool_choice='"required"', parallel_tool_calls=parallel)
    assert json.loads(core.schema)["maxItems"] == most
