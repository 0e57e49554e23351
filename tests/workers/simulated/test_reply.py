"""A simulated model writes its answer in the shape that was asked for, and plain text."""

import json
import math
from typing import Any

import pytest

from policies.plan import Budget
from policies.sampling import SamplingParams
from tests.builders import changed
from workers.completion import Completed, CompletionEvent, CompletionRequest, CompletionText
from workers.engine import Refused, SampleRequest
from workers.sample import Accepted, Sample
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.reply import reply_of

TOOLS = json.dumps([{"type": "function", "function": {"name": "tell"}}])
NAMED = json.dumps({"type": "function", "function": {"name": "tell"}})


def asking(**fields: Any) -> SampleRequest:
    return SampleRequest(
        "q", (("user", "easy question"),), (0,), Budget(2000), SamplingParams(**fields)
    )


def test_an_answer_is_prose_unless_something_is_asked() -> None:
    reply = reply_of(asking(), "42", 0.5)
    assert (reply.text, reply.answer, reply.calls, reply.logprobs) == (
        "Final Answer: 42", "42", (), (),
    )  # fmt: skip


@pytest.mark.parametrize("choice", [None, '"required"', NAMED])
def test_a_tool_is_called_with_the_answer(choice: str | None) -> None:
    reply = reply_of(asking(tools=TOOLS, tool_choice=choice), "42", 0.5)
    (call,) = reply.calls
    assert (call.name, json.loads(call.arguments)) == ("tell", {"answer": "42"})
    assert reply.text == ""
    assert reply.answer == '[{"arguments":{"answer":"42"},"name":"tell"}]'


def test_json_holds_the_answer() -> None:
    reply = reply_of(asking(response_format='{"type": "json_object"}'), "42", 0.5)
    assert json.loads(reply.text) == {"answer": "42"}


def test_tokens_are_as_probable_as_the_answer() -> None:
    reply = reply_of(asking(logprobs=1), "42", 0.25)
    assert b"".join(token.bytes for token in reply.logprobs).decode() == reply.text
    assert {token.logprob for token in reply.logprobs} == {math.log(0.25)}
    assert all(token.top == ((token.text, token.logprob),) for token in reply.logprobs)


def sampled(query: str, seed: int | None) -> Sample:
    async def main() -> Sample:
        request = SampleRequest(
            query, (("user", "hard"),), (0,), Budget(2000), SamplingParams(seed=seed)
        )
        *_, last = [event async for event in SimulatedEngine().sample(request)]
        assert isinstance(last, Sample)
        return last

    return run_virtual(main())


def test_one_seed_gives_one_chain_whatever_the_query_is_called() -> None:
    assert sampled("a", 5) == sampled("b", 5)
    assert len({sampled("a", seed).thinking_tokens for seed in range(8)}) > 1


def complete(**fields: Any) -> list[CompletionEvent]:
    async def main() -> list[CompletionEvent]:
        request = changed(CompletionRequest("q", "one two"), **fields)
        return [event async for event in SimulatedEngine().complete(request)]

    return run_virtual(main())


def test_a_completion_is_as_many_words_as_asked_for() -> None:
    accepted, *words, end = complete(max_tokens=3, echo=True)
    assert accepted == Accepted(2)
    assert [word.text for word in words if isinstance(word, CompletionText)] == [
        "one two", " word0", " word1", " word2",
    ]  # fmt: skip
    assert end == Completed("length", 3)


def test_a_completion_ends_at_a_stop_text() -> None:
    assert complete(stop=("word1",))[-1] == Completed("stop", 2)


@pytest.mark.parametrize("fields", [{"logprobs": 1}, {"prompt": ""}, {"max_tokens": 5000}])
def test_what_a_simulation_cannot_do_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        complete(**fields)
