"""A stream says what the whole reply says, at once where it can, and never goes silent."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk

from scheduler.api import chat_stream
from scheduler.api.chat import prepare
from scheduler.api.chat_stream import DONE, KEEP_ALIVE
from scheduler.api.events import AnswerText, follow
from scheduler.solving.trace import TRACE, Trace
from tests.scheduler.simulation import chat, make_controller, post
from workers.engine import EngineEvent, SampleRequest
from workers.sample import Accepted, Delta, Sample
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine


class Scripted(SimulatedEngine):
    """Answers every chain with given texts, some seconds after it has taken the request."""

    texts: tuple[str, ...] = ("a", "b")
    pause: float = 0.0

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        yield Accepted(3)
        for chain in request.chains:
            await asyncio.sleep(self.pause)
            if request.stream == chain:
                yield Delta(chain, "thinking", f"thinking of {chain} ", 1)
                for text in self.texts:
                    yield Delta(chain, "answer", text, 1)
            whole = "".join(self.texts).strip()
            yield Sample(
                chain,
                f"thoughts of {chain}",
                whole,
                whole,
                "natural",
                thinking_tokens=5 - chain,
                answer_tokens=1,
                generated_tokens=6 - chain,
            )


def scripted(*texts: str, pause: float = 0.0) -> Scripted:
    engine = Scripted()
    engine.texts, engine.pause = texts, pause
    return engine


def frames(body: dict[str, Any], engine: SimulatedEngine) -> list[tuple[float, str]]:
    """Every frame of a stream, and when it came."""

    async def main() -> list[tuple[float, str]]:
        controller, now = await make_controller(engine), asyncio.get_running_loop().time
        began, job = now(), prepare(controller, body | {"stream": True})
        return [(now() - began, frame) async for frame in chat_stream.stream(controller, job)]

    return run_virtual(main())


def chunks(told: list[tuple[float, str]]) -> list[dict[str, Any]]:
    """What the frames say; every chunk is one of OpenAI's."""
    assert told[-1][1] == DONE
    said = [frame for _, frame in told[:-1] if frame != KEEP_ALIVE]
    bodies: list[dict[str, Any]] = [json.loads(frame.removeprefix("data: ")) for frame in said]
    for body in bodies:
        ChatCompletionChunk.model_validate(body)
    return bodies


def texts(bodies: list[dict[str, Any]], field: str, at: int = 0) -> list[str]:
    choices = [choice for body in bodies for choice in body["choices"] if choice["index"] == at]
    return [choice["delta"][field] for choice in choices if choice["delta"].get(field)]


def test_the_role_comes_as_soon_as_the_engine_has_the_request() -> None:
    told = frames(chat(), scripted("a", pause=5))
    assert told[0][0] == 0
    assert chunks(told)[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def test_a_silent_stream_is_kept_alive_every_ten_seconds() -> None:
    options = {"policy": "majority", "samples": 3, "stream": "none"}
    told = frames(chat(thinkbudget=options), scripted("a", pause=15))
    assert [at for at, frame in told if frame == KEEP_ALIVE] == [10, 20, 30, 40]
    assert texts(chunks(told), "content") == ["a"]


def test_thoughts_that_are_not_told_do_not_count_as_a_sign_of_life() -> None:
    options = {"policy": "fixed", "stream": "none"}
    told = frames(chat("hopeless question", thinkbudget=options), SimulatedEngine(0, 4.0))
    silent = [at for at, frame in told if frame == KEEP_ALIVE]
    assert silent == [10.0 * n for n in range(1, len(silent) + 1)]
    assert len(silent) > 2


def test_a_live_answer_holds_back_only_what_may_be_a_stop() -> None:
    told = chunks(frames(chat(stop=["END"]), scripted(" one E", "gg E", "ND", " two")))
    assert texts(told, "content") == ["one", " Egg", " "]
    assert told[-1]["choices"][0]["finish_reason"] == "stop"
    whole = post(chat(stop=["END"]), engine=scripted(" one E", "gg E", "ND", " two")).json()
    assert whole["choices"][0]["message"]["content"] == "one Egg "


@pytest.mark.parametrize(
    ("options", "thoughts"),
    [
        ({"policy": "majority", "samples": 3}, ["thinking of 0 "]),
        ({"policy": "majority", "samples": 3, "stream": "winner"}, ["thoughts of 2"]),
        ({"policy": "majority", "samples": 3, "stream": "none"}, []),
        ({"policy": "fixed", "stream": "winner"}, ["thinking of 0 "]),
        ({"policy": "fixed", "stream": "none"}, []),
    ],
    ids=str,
)
def test_whose_thoughts_are_told_is_the_callers_choice(
    options: dict[str, Any], thoughts: list[str]
) -> None:
    told = chunks(frames(chat(thinkbudget=options), scripted("yes")))
    assert texts(told, "reasoning") == texts(told, "reasoning_content") == thoughts
    assert texts(told, "content") == ["yes"]
    if thoughts:
        kinds = [[*body["choices"][0]["delta"]][:1] for body in told]
        assert kinds == [["role"], ["reasoning"], ["content"], []]


@pytest.mark.parametrize("fields", [{"include_reasoning": False}, {"reasoning": {"exclude": True}}])
def test_reasoning_that_is_not_wanted_is_left_out(fields: dict[str, Any]) -> None:
    told = chunks(frames(chat(**fields), scripted("yes")))
    assert "reasoning" not in json.dumps(told[:-1])
    (choice,) = post(chat(**fields)).json()["choices"]
    assert choice["message"].keys() == {"role", "content"}


def test_further_choices_come_whole_and_the_account_last() -> None:
    told = chunks(frames(chat(n=3, stream_options={"include_usage": True}), scripted("yes")))
    assert [texts(told, "content", at) for at in range(3)] == [["yes"]] * 3
    assert texts(told, "reasoning", 2) == ["thoughts of 1"]
    ends = [c["index"] for b in told for c in b["choices"] if c["finish_reason"]]
    assert sorted(ends) == [0, 1, 2]
    assert (ends[-1], "thinkbudget" in told[-2], told[-1]["choices"]) == (0, True, [])


def test_an_engines_refusal_is_a_400_before_any_header() -> None:
    reply = post(chat("word " * 9000, stream=True))
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "context_length_exceeded"


def test_a_failure_later_is_an_error_chunk_and_then_done() -> None:
    body = chat("hopeless question", thinkbudget={"deadline_seconds": 0.01})
    told = frames(body, SimulatedEngine())
    assert told[-1][1] == DONE
    assert json.loads(told[-2][1][6:])["error"]["code"] == "deadline_exceeded"


def test_a_dry_run_streams_its_decision_alone() -> None:
    told = chunks(frames(chat(thinkbudget={"dry_run": True}), scripted("yes")))
    assert texts(told, "content") == []
    assert told[-1]["thinkbudget"]["stop_reason"] == "dry run"


@pytest.mark.parametrize("text", ["a\u2028b", "\u202eabc", "e\u0301", "\U0001f468\u200d\U0001f469"])
def test_letters_that_break_lines_or_join_survive_a_stream(text: str) -> None:
    assert "".join(texts(chunks(frames(chat(text), scripted(text))), "content")) == text


async def test_the_first_piece_of_an_answer_is_noted_in_the_requests_trace() -> None:
    class Slow(Scripted):
        async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
            async for event in super().sample(request):
                yield event
                await asyncio.sleep(1.0)

    controller = await make_controller(Slow())
    trace = Trace()
    token = TRACE.set(trace)
    try:
        async for event in follow(controller, prepare(controller, chat(stream=True))):
            if isinstance(event, AnswerText):
                assert trace.first_content is not None
                break
            assert trace.first_content is None
        else:
            pytest.fail("no piece of an answer came")
    finally:
        TRACE.reset(token)


def test_all_chunks_tell_one_time_and_the_tokens_so_far() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    told = chunks(frames(chat(stream_options=options), SimulatedEngine()))
    assert len({body["created"] for body in told}) == 1
    counts = [body["usage"]["completion_tokens"] for body in told]
    assert counts == sorted(counts) and counts[0] == 0 < counts[-1]
    assert all(body["usage"]["prompt_tokens"] == 6 for body in told)
    for usual in ({"include_usage": True}, {"continuous_usage_stats": True}):
        plain = chunks(frames(chat(stream_options=usual), SimulatedEngine()))
        assert not any("usage" in body for body in plain if body["choices"])
