"""POST /v1/completions, in virtual time on the simulated engine."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from openai.types import Completion

from scheduler.admission.access import ANY, AccessConfig
from scheduler.api.app import make_app
from tests.scheduler.simulation import client_of, make_controller
from workers.completion import Completed, CompletionEvent, CompletionRequest, CompletionText
from workers.sample import Accepted, ScoredToken
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine

PATH = "/v1/completions"


class Scripted(SimulatedEngine):
    """Plays one script of events after the other, and remembers what it was asked for."""

    def __init__(self, *scripts: list[CompletionEvent]) -> None:
        super().__init__()
        self.scripts, self.asked = list(scripts), list[CompletionRequest]()

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        self.asked.append(request)
        for event in self.scripts.pop(0):
            await asyncio.sleep(0.1)
            yield event


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "simulated", "prompt": "one two three", "max_tokens": 4} | fields


def post(engine: SimulatedEngine | None = None, **fields: Any) -> httpx.Response:
    async def main() -> httpx.Response:
        async with client_of(await make_controller(engine)) as client:
            return await client.post(PATH, json=body(**fields))

    return run_virtual(main())


def chunks(reply: httpx.Response) -> list[dict[str, Any]]:
    assert reply.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in reply.text.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_a_prompt_is_gone_on_with() -> None:
    reply = post()
    assert reply.status_code == 200
    completion = Completion.model_validate(reply.json())
    assert completion.object == "text_completion"
    assert completion.choices[0].text == " word0 word1 word2 word3"
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 3
    assert completion.usage.completion_tokens == 4


def test_sixteen_tokens_are_made_where_no_number_is_given() -> None:
    reply = post(max_tokens=None)
    assert reply.json()["usage"]["completion_tokens"] == 16


def test_several_prompts_with_several_texts_each_come_in_order() -> None:
    reply = post(prompt=["a b", "c d e"], n=2, echo=True).json()
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
    heads = [choice["text"].split(" word")[0].strip() for choice in reply["choices"]]
    assert [head.split() for head in heads] == [["a", "b"]] * 2 + [["c", "d", "e"]] * 2
    assert reply["usage"] == {"prompt_tokens": 5, "completion_tokens": 16, "total_tokens": 21}


@pytest.mark.parametrize("prompt", [[1, 2, 3], [[1, 2, 3]]])
def test_a_prompt_may_be_token_ids(prompt: Any) -> None:
    engine = Scripted([Accepted(3), CompletionText("x"), Completed("stop", 1)])
    assert post(engine, prompt=prompt).json()["choices"][0]["text"] == "x"
    assert engine.asked[0].prompt == (1, 2, 3)


def test_what_is_asked_for_reaches_the_engine() -> None:
    engine = Scripted([Accepted(3), Completed("stop", 0)], [Accepted(3), Completed("stop", 0)])
    post(engine, n=2, seed=7, top_p=0.5, temperature=0.3, stop="END", ignore_eos=True)
    first, second = engine.asked
    assert (first.sampling.top_p, first.sampling.temperature, first.stop, first.ignore_eos) == (
        0.5, 0.3, ("END",), True,
    )  # fmt: skip
    assert {first.sampling.seed, second.sampling.seed} == {7, 8}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": ["a"] * 100, "n": 2}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 5000}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"logprobs": 6}, "logprobs"),
        ({"temperature": 2.5}, "temperature"),
        ({"seed": 2**64}, "seed"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"echo": "yes"}, "echo"),
    ],
)
def test_a_bad_field_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    async def main() -> httpx.Response:
        async with client_of(await make_controller()) as client:
            return await client.post(PATH, content=json.dumps(body(**fields)).encode())

    reply = run_virtual(main())
    assert reply.status_code == 400
    assert str(reply.json()["error"]["param"]).split(".")[0] == param


def test_an_unknown_model_is_not_found() -> None:
    reply = post(model="gpt")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")


def test_fields_without_effect_are_told_back() -> None:
    reply = post(logit_bias={"5": 3}, presence_penalty=0)
    assert reply.headers["x-thinkbudget-ignored-fields"] == "logit_bias"


def test_log_probabilities_are_told_token_by_token() -> None:
    scores = (
        ScoredToken("on", b"on", None),
        ScoredToken(" we", b" we", -2.0, ((" go", -0.5), (" do", -1.5))),
        ScoredToken(" go", b" go", -0.1, ((" go", -0.1), (" go", -9.0))),
    )
    script: list[CompletionEvent] = [
        Accepted(2), CompletionText("on we", scores[:2]), CompletionText(" go", scores[2:]),
        Completed("length", 1),
    ]  # fmt: skip
    told = post(Scripted(script), echo=True, logprobs=2).json()["choices"][0]["logprobs"]
    assert told == {
        "tokens": ["on", " we", " go"],
        "token_logprobs": [None, -2.0, -0.1],
        "top_logprobs": [None, {" we": -2.0, " do": -1.5, " go": -0.5}, {" go": -0.1}],
        "text_offset": [0, 2, 5],
    }


def test_a_stream_says_the_same_as_the_whole() -> None:
    whole = post(n=2).json()
    events = chunks(post(n=2, stream=True, stream_options={"include_usage": True}))
    *pieces, last = events
    for at, choice in enumerate(whole["choices"]):
        ours = [e["choices"][0] for e in pieces if e["choices"][0]["index"] == at]
        assert "".join(each["text"] for each in ours) == choice["text"]
        assert [e["finish_reason"] for e in ours if e["finish_reason"]] == ["length"]
    assert last["choices"] == []
    assert last["usage"] == whole["usage"]


def test_a_stream_of_which_one_prompt_is_refused_is_refused_as_a_whole() -> None:
    reply = post(prompt=["a", "b " * 5000], stream=True)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "prompt")


def test_a_text_whose_engine_was_lost_is_an_error_that_may_be_tried_again() -> None:
    lost: list[CompletionEvent] = [Accepted(3), Completed("lost", 0)]
    reply = post(Scripted(lost))
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "engine_unavailable")


def test_a_stream_that_has_shown_something_ends_with_an_error_when_its_engine_is_lost() -> None:
    lost: list[CompletionEvent] = [Accepted(3), CompletionText("half"), Completed("lost", 1)]
    first, error = chunks(post(Scripted(lost), stream=True))
    assert first["choices"][0]["text"] == "half"
    assert error["error"]["code"] == "engine_unavailable"


def test_a_silent_stream_is_kept_open() -> None:
    slow = SimulatedEngine(tokens_per_second=0.05)
    assert ": keep-alive\n\n" in post(slow, stream=True, max_tokens=1).text


def test_a_server_may_take_no_raw_prompts() -> None:
    async def main() -> httpx.Response:
        access = AccessConfig(allowed_hosts=(ANY,), allow_raw_prompts=False)
        app = make_app(await make_controller(), access=access)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(PATH, json=body())

    assert run_virtual(main()).status_code == 403


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"thinking_token_budget": 5, "thinkbudget": {"samples": 3}},
            "thinking_token_budget, thinkbudget",
        ),
        ({"top_k": 5, "min_p": 0.1, "ignore_eos": True}, "top_k, min_p"),
        ({"extra_body": {"a": 1}, "reasoning_effort": "low"}, "extra_body, reasoning_effort"),
        (
            {"response_format": {"type": "json_object"}, "guided_json": {}},
            "response_format, guided_json",
        ),
    ],
)
def test_ignored_fields_are_named_as_chat_names_them(fields: dict[str, Any], told: str) -> None:
    assert post(**fields).headers["x-thinkbudget-ignored-fields"] == told


def test_every_chunk_tells_one_time_and_the_tokens_so_far() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    told = chunks(post(stream=True, max_tokens=4, stream_options=options))
    assert len({body["created"] for body in told}) == 1
    counts = [body["usage"]["completion_tokens"] for body in told]
    assert counts == [1, 2, 3, 4, 4, 4]
