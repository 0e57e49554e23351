"""What a request asks of its answer: how many, scored how, written how, with which tools."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, cast

import pytest
from openai.types.chat import ChatCompletion

from scheduler.api.chat import complete
from tests.scheduler.api.test_chat_stream import chunks, frames
from tests.scheduler.simulation import chat, make_controller, post
from workers.engine import EngineEvent, EngineInfo, SampleRequest
from workers.sample import Sample, ScoredToken, ToolCall
from workers.simulated.engine import SimulatedEngine

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


class Telling(SimulatedEngine):
    """Remembers what it was asked, and adds to every sample what the simulation has not."""

    asked: list[SampleRequest]
    adds: dict[str, Any]

    async def info(self) -> EngineInfo:
        return (await super().info())._replace(seeds=True)

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        self.asked.append(request)
        async for event in super().sample(request):
            yield replace(event, **self.adds) if isinstance(event, Sample) else event


def telling(**adds: Any) -> Telling:
    engine = Telling()
    engine.asked, engine.adds = [], adds
    return engine


def replied(body: dict[str, Any], **server: Any) -> dict[str, Any]:
    reply = post(body, **server)
    assert reply.status_code == 200, reply.text
    ChatCompletion.model_validate(reply.json())
    return cast(dict[str, Any], reply.json())


@pytest.mark.parametrize(
    ("policy", "drawn", "more"),
    [({"policy": "fixed"}, 1, 3), ({"policy": "majority", "samples": 3}, 3, 1),
     ({"policy": "majority", "samples": 9}, 9, 0)],
)  # fmt: skip
def test_n_choices_are_as_many_chains_whatever_the_policy_draws(
    policy: dict[str, Any], drawn: int, more: int
) -> None:
    reply = replied(chat("medium question", n=4, seed=7, thinkbudget=policy))
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
    decision, spent = reply["thinkbudget"]["decision"], reply["thinkbudget"]["spent"]
    assert (decision["samples"], decision["extra_choices"]) == (drawn, more)
    assert spent["chains"] == spent["samples_finished"] == drawn + more
    alone = replied(chat("medium question", seed=7, thinkbudget=policy))
    if more:
        assert reply["usage"]["completion_tokens"] > alone["usage"]["completion_tokens"]


def test_the_best_choice_is_first_and_the_others_do_not_vote() -> None:
    reply = replied(chat("medium question", n=5, thinkbudget={"policy": "majority", "samples": 4}))
    answers = [choice["message"]["content"].split()[-1] for choice in reply["choices"]]
    assert answers[0] == reply["thinkbudget"]["answer"]
    counts = [answers.count(answer) for answer in answers[1:]]
    assert counts == sorted(counts, reverse=True)
    assert reply["thinkbudget"]["agreement"] in (0.25, 0.5, 0.75, 1.0)


async def test_chains_drawn_to_be_shown_teach_nothing() -> None:
    seen = []
    for n in (1, 6):
        controller = await make_controller(policy="priced")
        body = chat("easy question", n=n, thinkbudget={"reference_answer": "1"})
        await complete(controller, body)
        curve = controller.curves.curve("simulated", "default")
        assert curve is not None
        seen.append((curve.queries, curve.plans and curve.plans.explored))
    assert seen[0][0] == seen[1][0] == 1


def test_a_limit_that_bears_fewer_chains_gives_fewer_choices() -> None:
    options = {"policy": "fixed", "max_thinking_tokens": 50, "max_total_tokens": 420}
    reply = replied(chat("hopeless question", n=8, thinkbudget=options))
    assert 1 <= len(reply["choices"]) < 8
    assert reply["usage"]["completion_tokens"] <= 420


def test_what_the_engine_is_to_do_is_passed_down() -> None:
    engine = telling()
    body = chat(
        seed=-5, top_p=0.5, logprobs=True, top_logprobs=2, tools=[TOOL], tool_choice="required",
        service_tier="flex", temperature=0.3,
    )  # fmt: skip
    reply = replied(body, engine=engine)
    asked = engine.asked[0].sampling
    assert (asked.seed, asked.top_p, asked.logprobs, asked.temperature) == (-5, 0.5, 2, 0.3)
    assert json.loads(asked.tools or "") == [TOOL]
    assert asked.tool_choice == '"required"'
    assert asked.priority > 0
    assert reply["service_tier"] == "flex"
    format_ = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    replied(chat(response_format=format_), engine=engine)
    assert json.loads(engine.asked[-1].sampling.response_format or "") == format_


@pytest.mark.parametrize("fields", [{"response_format": {"type": "text"}}, {"tools": []}, {}])
def test_what_says_nothing_is_not_passed_down(fields: dict[str, Any]) -> None:
    engine = telling()
    reply = replied(chat(**fields, service_tier="auto"), engine=engine)
    asked = engine.asked[0].sampling
    assert (asked.tools, asked.tool_choice, asked.response_format) == (None, None, None)
    assert (asked.seed, asked.logprobs, asked.priority) == (None, None, 0)
    assert reply["service_tier"] == "default"


SCORED = (
    ScoredToken("one ", b"one ", -0.1, (("one ", -0.1), ("two", -2.5))),
    ScoredToken("\ufffd", b"\xc3", -0.2),
    ScoredToken("\ufffd", b"\xa9", -0.3),
    ScoredToken(" END", b" END", -0.4),
)


def test_logprobs_are_those_of_the_returned_answer() -> None:
    engine = telling(logprobs=SCORED, text="one \u00e9 END")
    body = chat(logprobs=True, top_logprobs=2)
    (choice,) = replied(body, engine=engine)["choices"]
    first, *_ = told = choice["logprobs"]["content"]
    assert [token["logprob"] for token in told] == [-0.1, -0.2, -0.3, -0.4]
    assert first["bytes"] == [*b"one "]
    assert first["top_logprobs"][1] == {"token": "two", "logprob": -2.5, "bytes": [*b"two"]}
    (choice,) = replied(body | {"stop": "END"}, engine=engine)["choices"]
    assert choice["message"]["content"] == "one \u00e9 "
    assert len(choice["logprobs"]["content"]) == 4  # the last token is in part of the answer
    (choice,) = replied(body | {"stop": " END"}, engine=engine)["choices"]
    assert [token["logprob"] for token in choice["logprobs"]["content"]] == [-0.1, -0.2, -0.3]
    (choice,) = replied(chat(), engine=engine)["choices"]
    assert choice["logprobs"] is None


def test_a_streams_logprobs_come_with_its_end() -> None:
    engine = telling(logprobs=SCORED)
    told = chunks(frames(chat(logprobs=True), engine))
    assert len(told[-1]["choices"][0]["logprobs"]["content"]) == 4


CALLS = (ToolCall("add", '{"a":1}'), ToolCall("add", '{"a":2}'))


def test_tool_calls_are_told_as_openai_tells_them() -> None:
    engine = telling(tool_calls=CALLS, text="", answer="add")
    (choice,) = replied(chat(tools=[TOOL]), engine=engine)["choices"]
    message = choice["message"]
    assert (message["content"], choice["finish_reason"]) == (None, "tool_calls")
    assert [call["function"] for call in message["tool_calls"]] == [
        {"name": "add", "arguments": '{"a":1}'},
        {"name": "add", "arguments": '{"a":2}'},
    ]
    assert len({call["id"] for call in message["tool_calls"]}) == 2
    body = chat(tools=[TOOL], parallel_tool_calls=False)
    (choice,) = replied(body, engine=engine)["choices"]
    assert len(choice["message"]["tool_calls"]) == 1


def test_a_call_is_never_streamed_as_text() -> None:
    engine = telling(tool_calls=CALLS, text="", answer="add")
    told = chunks(frames(chat(tools=[TOOL]), engine))
    deltas = [choice["delta"] for body in told for choice in body["choices"]]
    assert not any(delta.get("content") for delta in deltas)
    (calls,) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert [call["index"] for call in calls] == [0, 1]
    assert told[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_dry_run_decides_and_spends_nothing() -> None:
    engine = telling()
    options = {"policy": "majority", "samples": 5, "dry_run": True}
    reply = replied(chat(thinkbudget=options), engine=engine)
    told = reply["thinkbudget"]
    assert (reply["choices"], reply["usage"]["total_tokens"], engine.asked) == ([], 0, [])
    assert told["decision"]["kind"] == "vote" and told["decision"]["samples"] == 5
    assert (told["stop_reason"], told["spent"]["tokens"]) == ("dry run", 0)


def test_the_decision_is_in_a_header() -> None:
    reply = post(chat(thinkbudget={"policy": "majority", "samples": 5, "max_thinking_tokens": 64}))
    assert reply.headers["x-thinkbudget-decision"] == (
        "vote; policy=majority; samples=5; budget_tokens=64"
    )


def test_the_account_tells_finished_and_cancelled_samples() -> None:
    options = {"policy": "majority", "samples": 16, "deadline_seconds": 0.1}
    body = chat("easy question", thinkbudget=options)
    told = replied(body, engine=SimulatedEngine(slots=1))["thinkbudget"]
    spent = told["spent"]
    assert told["stop_reason"] == "deadline"
    assert 0 < spent["samples_finished"] < 16
    assert spent["samples_finished"] + spent["samples_cancelled"] == spent["chains"]


def test_chains_that_had_to_move_are_told() -> None:
    reply = replied(chat("easy question"), engine=telling(migrations=2))
    assert reply["thinkbudget"]["spent"]["retries"] == 2
    assert replied(chat("easy question"))["thinkbudget"]["spent"]["retries"] == 0


def test_extensions_of_a_fixed_policy_are_told_as_such() -> None:
    options = {"policy": "fixed", "extensions": 2}
    decision = replied(chat("medium question", thinkbudget=options))["thinkbudget"]["decision"]
    assert (decision["kind"], decision["samples"]) == ("extend", 1)


def test_waits_are_told_as_such() -> None:
    options = {"policy": "priced", "max_samples": 1}
    told = replied(chat("medium question", thinkbudget=options))["thinkbudget"]
    assert told["decision"]["kind"] == "extend"  # an exploration run
    assert replied(chat())["thinkbudget"]["decision"]["kind"] == "single"
