"""The HTTP face, spoken to as OpenAI's clients do."""

import json
from typing import Any

import httpx
import pytest

from scheduler.api.chat_stream import DONE
from scheduler.api.protocol import MAX_BODY_BYTES
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller, post
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine


def got(method: str, path: str, *, engine: SimulatedEngine | None = None) -> httpx.Response:
    async def main() -> httpx.Response:
        async with client_of(await make_controller(engine)) as client:
            return await client.request(method, path)

    return run_virtual(main())


def events(reply: httpx.Response) -> list[dict[str, Any]]:
    """The chunks of a stream that ended well."""
    frames = reply.text.split("\n\n")
    assert frames[-2:] == [DONE.strip(), ""]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2] if frame[0] != ":"]


def joined(chunks: list[dict[str, Any]], field: str) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get(field, "") for delta in deltas)


@pytest.mark.parametrize("policy", ["fixed", "majority", "priced"])
def test_a_stream_keeps_its_order(policy: str) -> None:
    body = chat(stream=True, stream_options={"include_usage": True}, thinkbudget={"policy": policy})
    reply = post(body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    chunks = events(reply)
    kinds = []
    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk"
        if not chunk["choices"]:
            kinds.append("usage")
            continue
        (choice,) = chunk["choices"]
        kinds.append("finish" if choice["finish_reason"] else [*choice["delta"]][0])
    assert kinds[0] == "role"
    assert [kind for at, kind in enumerate(kinds) if kind not in kinds[:at]] == [
        "role", "reasoning", "content", "finish", "usage",
    ]  # fmt: skip
    assert kinds[-2:] == ["finish", "usage"]
    assert kinds == sorted(kinds, key=["role", "reasoning", "content", "finish", "usage"].index)
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("stop", [None, "Answer", ["nowhere", ": "]])
@pytest.mark.parametrize("policy", ["fixed", "majority"])
def test_a_stream_says_what_the_whole_reply_says(policy: str, stop: object) -> None:
    budget = {"policy": policy, "samples": 3}
    body = chat("easy question", stop=stop, seed=1, thinkbudget=budget)
    if policy == "fixed":
        del body["thinkbudget"]["samples"]
    whole = post(body).json()
    chunks = events(post(body | {"stream": True, "stream_options": {"include_usage": True}}))
    assert joined(chunks, "content") == whole["choices"][0]["message"]["content"]
    assert joined(chunks, "reasoning") == joined(chunks, "reasoning_content") != ""
    finish, usage = chunks[-2], chunks[-1]
    assert finish["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert finish["thinkbudget"]["answer"] == whole["thinkbudget"]["answer"]
    if policy == "fixed":  # greedy: the same chain again
        assert usage["usage"] == whole["usage"]


def test_usage_is_streamed_only_when_asked_for() -> None:
    assert all("usage" not in chunk for chunk in events(post(chat(stream=True))))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"thinkbudget": {"policy": "prised"}}, "thinkbudget.policy"),
        ({"thinkbudget": {"max_total_tokens": 9}}, "thinkbudget.max_total_tokens"),
        ({"messages": [{"role": "user", "content": "word " * 9000}]}, "messages"),
    ],
)
def test_an_error_before_the_first_event_is_a_plain_400(fields: dict[str, Any], param: str) -> None:
    reply = post(chat(stream=True) | fields)
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["error"]["param"] == param


def test_an_error_after_the_first_event_is_an_event() -> None:
    async def main() -> httpx.Response:
        engine = SimulatedEngine()
        async with client_of(await make_controller(engine)) as client:
            engine.kill()
            return await client.post(CHAT, json=chat(stream=True))

    *_, last = events(run_virtual(main()))
    assert last["error"]["code"] == "engine_unavailable"


def test_a_dead_engine_says_when_to_come_again() -> None:
    async def main() -> httpx.Response:
        engine = SimulatedEngine()
        async with client_of(await make_controller(engine)) as client:
            engine.kill()
            return await client.post(CHAT, json=chat())

    reply = run_virtual(main())
    assert reply.status_code == 503
    assert reply.headers["retry-after"] == "5"
    assert reply.json()["error"]["type"] == "server_error"


async def test_health_follows_the_engine() -> None:
    engine = SimulatedEngine()
    async with client_of(await make_controller(engine)) as client:
        assert (await client.get("/health")).status_code == 200
        engine.kill()
        sick = await client.get("/health")
        assert (sick.status_code, sick.headers["retry-after"]) == (503, "5")
        engine.revive()
        assert (await client.get("/health")).status_code == 200


async def test_the_curves_are_empty_at_first_and_then_have_what_was_asked() -> None:
    async with client_of(await make_controller()) as client:
        path = "/v1/thinkbudget/curves"
        assert (await client.get(path)).json()["classes"] == []
        await client.post(CHAT, json=chat(metadata={"query_class": "sums"}))
        (line,) = (await client.get(path)).json()["classes"]
        assert (line["class"], line["curve"]["queries"]) == ("sums", 1)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("GET", CHAT), ("DELETE", "/v1/models")],
)
def test_what_is_not_there_is_an_error_object(method: str, path: str) -> None:
    reply = got(method, path)
    assert reply.status_code in (404, 405)
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert f"{method} {path}" in error["message"]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"nonsense", b"\xff\xfe\x00", b'{"model": }', b"[" * 100_000],
    ids=["empty", "torn", "word", "bytes", "hole", "deep"],
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    reply = post(raw)
    error = reply.json()["error"]
    assert reply.status_code == 400
    assert error["code"] == "invalid_json"
    assert error["param"] is None
    assert len(error["message"]) <= 1000


def test_half_a_surrogate_pair_is_refused_by_its_field() -> None:
    raw = json.dumps(chat("half \ud83d")).encode()
    reply = post(raw)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "messages.0.content"


def test_a_body_that_is_too_large_is_refused_before_it_is_parsed() -> None:
    reply = post(b'{"model": "' + b"x" * MAX_BODY_BYTES)
    error = reply.json()["error"]
    assert reply.status_code == 413
    assert error["code"] == "request_too_large"
    assert str(MAX_BODY_BYTES) in error["message"]
