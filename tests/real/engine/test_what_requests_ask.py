"""What requests may ask of real vLLM: shapes of answers, log-probabilities, turns, raw prompts."""

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from policies.plan import Budget
from policies.sampling import SamplingParams
from tests.real.engine.test_vllm_engine import all_events, one, questions, request
from workers.completion import Completed, CompletionRequest, CompletionText
from workers.drivers.chain_engine import ChainEngine
from workers.drivers.core import GenerateOptions
from workers.engine import Refused
from workers.forcing.chain import GenerateCall
from workers.format import S1
from workers.prompt import Prompter
from workers.sample import Accepted

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

FORCING = Budget(300, extensions=1, answer_tokens=64)
CHOICE = {
    "type": "object",
    "properties": {"sure": {"enum": ["yes", "no"]}},
    "required": ["sure"],
    "additionalProperties": False,
}
TOOLS = json.dumps(
    [{"type": "function", "function": {"name": "judge", "description": "?", "parameters": CHOICE}}]
)
FORCED = json.dumps({"type": "function", "function": {"name": "judge"}})


def json_schema(schema: dict[str, Any]) -> str:
    named = {"name": "it", "schema": schema}
    return json.dumps({"type": "json_schema", "json_schema": named})


@pytest.fixture
def tooled(engine: ChainEngine) -> Iterator[ChainEngine]:
    """The engine with a chat template that knows tools: the embedded model's own does not."""
    tokenizer: Any = copy.deepcopy(engine.core.tokenizer)
    before = engine.prompter
    tokenizer.chat_template = (
        "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
        + tokenizer.chat_template
    )
    engine.prompter = Prompter(tokenizer, S1)
    yield engine
    engine.prompter = before


@pytest.mark.parametrize("cap", [2, 300])
def test_an_answer_is_held_to_a_schema_and_the_thinking_before_it_is_not(
    loop: asyncio.Runner, engine: ChainEngine, cap: int
) -> None:
    budget = Budget(cap, answer_tokens=64)
    free = loop.run(one(engine, request(questions(1)[0], budget)))
    wanted = request(questions(1)[0], budget, response_format=json_schema(CHOICE))
    held = loop.run(one(engine, wanted))
    assert held.thinking_ids == free.thinking_ids
    assert json.loads(held.text)["sure"] in ("yes", "no")
    assert held.answer in ('{"sure":"yes"}', '{"sure":"no"}')
    assert held.violations == ()


def test_any_json_object_will_do(loop: asyncio.Runner, engine: ChainEngine) -> None:
    wanted = request(
        questions(1)[0],
        Budget(300, answer_tokens=16),
        response_format='{"type": "json_object"}',
    )
    held = loop.run(one(engine, wanted))
    # The model knows no JSON and need not come to an end of it; but begin it must.
    assert held.text.startswith("{")


@pytest.mark.parametrize("schema", [{"type": "bogus"}, {"$ref": "#/nowhere"}])
def test_a_schema_that_vllm_cannot_hold_to_is_refused_before_anything_is_said(
    loop: asyncio.Runner, engine: ChainEngine, schema: dict[str, Any]
) -> None:
    wanted = request(questions(1)[0], FORCING, response_format=json_schema(schema))
    with pytest.raises(Refused) as refused:
        loop.run(all_events(engine.sample(wanted)))
    assert refused.value.field == "response_format"
    assert ".cc" not in str(refused.value)


def test_a_forced_tool_is_called(loop: asyncio.Runner, tooled: ChainEngine) -> None:
    for choice in (FORCED, '"required"'):
        wanted = request(questions(1)[0], FORCING, tools=TOOLS, tool_choice=choice)
        sample = loop.run(one(tooled, wanted))
        (call,) = sample.tool_calls
        assert call.name == "judge"
        assert json.loads(call.arguments)["sure"] in ("yes", "no")
        assert json.loads(sample.answer or "")[0]["name"] == "judge"
        assert sample.text == ""


def test_an_answer_that_calls_no_tool_stays_text(loop: asyncio.Runner, tooled: ChainEngine) -> None:
    sample = loop.run(one(tooled, request(questions(1)[0], FORCING, tools=TOOLS)))
    assert sample.tool_calls == ()
    assert sample.text and sample.answer


def test_a_template_without_tools_refuses_them(loop: asyncio.Runner, engine: ChainEngine) -> None:
    with pytest.raises(Refused) as refused:
        loop.run(one(engine, request(questions(1)[0], FORCING, tools=TOOLS)))
    assert (refused.value.field, refused.value.code) == ("tools", "unsupported_parameter")


def test_log_probabilities_are_those_of_the_answer(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    for question in questions(5):
        plain = loop.run(one(engine, request(question, FORCING)))
        sample = loop.run(one(engine, request(question, FORCING, logprobs=3)))
        assert (sample.thinking_ids, sample.text) == (plain.thinking_ids, plain.text)
        assert len(sample.logprobs) == sample.answer_tokens
        assert b"".join(token.bytes for token in sample.logprobs).decode().strip() == sample.text
        for token in sample.logprobs:
            values = [value for _, value in token.top]
            assert len(values) == 3 and values == sorted(values, reverse=True)
            assert token.logprob == values[0] <= 0  # greedy


def test_the_least_nucleus_is_greedy(loop: asyncio.Runner, engine: ChainEngine) -> None:
    greedy = loop.run(one(engine, request(questions(1)[0], FORCING)))
    narrow = request(questions(1)[0], FORCING, temperature=1.0, top_p=1e-9)
    assert loop.run(one(engine, narrow)).text == greedy.text


def test_a_seed_does_no_harm_where_it_is_not_heeded(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    assert loop.run(engine.info()).seeds is False
    sample = loop.run(one(engine, request(questions(1)[0], FORCING, seed=7, temperature=1.0)))
    assert sample.answer is not None


def test_tenants_share_no_cached_prefix(loop: asyncio.Runner, engine: ChainEngine) -> None:
    core: Any = engine.core
    prompt = engine.core.tokenizer.encode("a=3 b=a*7-2+5 c=b+4*3 c? " * 30)

    async def cached(salt: str, name: str) -> int:
        call, sampling = (
            GenerateCall(1, 0, frozenset()),
            GenerateOptions(SamplingParams(temperature=0, cache_salt=salt)),
        )
        parameters = core._parameters(call, sampling)
        outputs = [o async for o in core._generate(name, prompt, parameters, sampling)]
        return int(outputs[-1].num_cached_tokens)

    assert loop.run(cached("ours", "salt-1")) == 0
    assert loop.run(cached("ours", "salt-2")) > 0
    assert loop.run(cached("theirs", "salt-3")) == 0
    assert loop.run(cached("", "salt-4")) == 0


def test_the_lowest_priority_goes_first(loop: asyncio.Runner, engine: ChainEngine) -> None:
    long = Budget(250, min_thinking_tokens=250, answer_tokens=4)
    crowd = request(questions(1)[0], long, name="crowd", chains=tuple(range(100)), priority=10)
    done: list[str] = []

    async def follow(wanted: Any) -> None:
        await all_events(engine.sample(wanted))
        done.append(wanted.query)

    async def race() -> None:
        running = asyncio.create_task(follow(crowd))
        await asyncio.sleep(0.5)
        late = request(questions(1)[0], long, name="late", priority=20)
        soon = request(questions(1)[0], long, name="soon", priority=0)
        await asyncio.gather(follow(late), follow(soon), running)

    loop.run(race())
    assert done == ["soon", "crowd", "late"]


def test_what_was_generated_is_as_probable_as_an_echo_says(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    prompt = tuple(engine.prompter.tokens([("user", questions(1)[0])]))
    asked = CompletionRequest("raw", prompt, max_tokens=12, sampling=SamplingParams(0, logprobs=2))
    accepted, *pieces, end = loop.run(all_events(engine.complete(asked)))
    assert accepted == Accepted(len(prompt))
    assert end == Completed("length", 12) or isinstance(end, Completed) and end.finish == "stop"
    texts = [piece for piece in pieces if isinstance(piece, CompletionText)]
    made = [token for piece in texts for token in piece.scores]
    text = "".join(piece.text for piece in texts)
    ids = engine.core.tokenizer.encode(text, add_special_tokens=False)
    again = CompletionRequest(
        "echo", (*prompt, *ids), max_tokens=0, sampling=SamplingParams(0, logprobs=2), echo=True
    )
    _, echo, end = loop.run(all_events(engine.complete(again)))
    assert isinstance(echo, CompletionText) and end == Completed("length", 0)
    first, *scores = echo.scores
    assert first.logprob is None
    assert len(scores) == len(prompt) + len(ids) - 1
    for ours, theirs in zip(made[: len(ids)], scores[len(prompt) - 1 :], strict=False):
        assert ours.text == theirs.text
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-3)


def test_a_completion_ends_before_its_stop_text(loop: asyncio.Runner, engine: ChainEngine) -> None:
    prompt = tuple(engine.prompter.tokens([("user", questions(1)[0])]))
    free = CompletionRequest(
        "free", prompt, max_tokens=40, sampling=SamplingParams(0), ignore_eos=True
    )
    whole = "".join(
        event.text
        for event in loop.run(all_events(engine.complete(free)))
        if isinstance(event, CompletionText)
    )
    stop = whole[10:13]
    for live in (False, True):
        asked = CompletionRequest(
            "stop", prompt, max_tokens=40, sampling=SamplingParams(0), stop=(stop,), live=live
        )
        *pieces, end = loop.run(all_events(engine.complete(asked)))
        text = "".join(piece.text for piece in pieces if isinstance(piece, CompletionText))
        assert text == whole[: whole.index(stop)]
        assert isinstance(end, Completed) and end.finish == "stop"


def test_control_strings_of_a_raw_prompt_are_control_tokens(
    loop: asyncio.Runner, engine: ChainEngine
) -> None:
    asked = CompletionRequest("raw", "<|im_start|>", max_tokens=1)
    accepted, *_ = loop.run(all_events(engine.complete(asked)))
    assert accepted == Accepted(1)
