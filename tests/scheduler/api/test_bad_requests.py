"""Requests as fuzzers, old clients and attackers send them: answered, or refused by their field.

Whatever is sent, no reply is a failure of the server, and none of the refusals is long.
"""

import json
from typing import Any

import httpx
import pytest

from tests.scheduler.simulation import chat, post

TURN = {"role": "user", "content": "easy question"}
ROOM = 4096
"""Tokens of the simulated engine's context; its prompts are words, and four tokens a turn."""


def refused(reply: httpx.Response, code: str | None = None) -> dict[str, Any]:
    """The error object of a refusal."""
    assert reply.status_code == 400, reply.text[:500]
    assert len(reply.content) <= 2048
    error: dict[str, Any] = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert code in (None, error["code"])
    return error


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"\xff\xfe\x00", b"[]", b'"text"', b"null", b"[" * 100_000,
        b'{"a":' * 50_000, b'{"model": "simulated", "seed": ' + b"9" * 5000 + b"}",
    ],
    ids=["empty", "torn", "bytes", "array", "text", "null", "deep", "deep objects", "digits"],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    refused(post(raw), "invalid_json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    raw = json.dumps(chat(temperature=0.5)).replace("0.5", number)
    refused(post(raw.encode()))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [TURN] * 10_000}, "messages"),
        ({"messages": ["x"] * 20_000}, "messages"),
        ({"stop": "x" * 2**20}, "stop"),
        ({"tools": [{"type": "x" * 10_000}] * 100}, "tools.0.type"),
        ({"metadata": {"k" * 100_000: "v"}}, None),
    ],
    ids=["messages", "bad messages", "stop", "tools", "metadata"],
)
def test_what_is_too_much_is_refused_in_few_words(
    fields: dict[str, Any], param: str | None
) -> None:
    error = refused(post(chat() | fields))
    assert param in (None, error["param"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("n", n) for n in (0, -1, 17, 10**9, True, 1.0)),
        *(("max_tokens", n) for n in (0, -1, 2**63, True)),
        *(("temperature", t) for t in (-1, 1e9, True, "1")),
        *(("seed", seed) for seed in (2**64, 2**63, -(2**63) - 1, 1.5)),
        ("top_logprobs", 10**6),
        ("top_logprobs", -1),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_field(field: str, value: object) -> None:
    assert refused(post(chat(logprobs=True) | {field: value}))["param"] == field


@pytest.mark.parametrize("field", ["thinking_token_budget", "thinking_budget"])
@pytest.mark.parametrize("value", [-2, "5", 5.0, True])
def test_a_budget_that_is_none_is_refused(field: str, value: object) -> None:
    assert refused(post(chat() | {field: value}))["param"] == field


@pytest.mark.parametrize("value", [-1, 0, 1, 10**9])
def test_a_budget_holds_or_is_clipped_and_told(value: int) -> None:
    reply = post(chat("hopeless question", thinking_token_budget=value))
    assert reply.status_code == 200
    decision = reply.json()["thinkbudget"]["decision"]
    assert decision["budget_tokens"] == (value if 0 <= value <= ROOM else ROOM)
    assert decision["clipped_from"] == (value if value > ROOM else None)
    assert reply.json()["thinkbudget"]["violations"] == []
    assert reply.json()["choices"][0]["message"]["content"]


def test_a_budget_and_an_effort_that_exclude_each_other_are_refused() -> None:
    body = chat(reasoning_effort="none", thinking_token_budget=100)
    refused(post(body), "conflicting_budget")


@pytest.mark.parametrize("over", [1, 10_000])
def test_a_prompt_above_the_context_is_refused(over: int) -> None:
    words = ROOM - 4 - 128 + over  # the answer's reserve has to fit too
    error = refused(post(chat("word " * words)), "context_length_exceeded")
    assert error["param"] == "messages"


def test_a_prompt_that_just_fits_is_answered_without_thinking() -> None:
    reply = post(chat("word " * (ROOM - 4 - 128)))
    assert reply.status_code == 200
    assert reply.json()["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


@pytest.mark.parametrize(
    "body",
    [
        chat("half \ud83d"),
        chat(metadata={"\ud83d": "a"}),
        chat(user="\udc00"),
        chat(unknown=[{"deep": "\ud83d"}]),
        chat(unknown={"\ud83d": 1}),
        chat(stop="\ud83d"),
    ],
    ids=["content", "key", "user", "unknown", "unknown key", "stop"],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_half_of_a_letter_is_refused_wherever_it_is(body: dict[str, Any], streamed: bool) -> None:
    refused(post(json.dumps(body | {"stream": streamed}).encode()))


@pytest.mark.parametrize(
    "text",
    ["\0", "\u202eabc\u202c", "e" + "\u0301" * 50, "\U0001f468\u200d\U0001f469", "a\u2028b"],
    ids=["zero", "bidi", "combining", "joined", "line separator"],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_strange_letters_are_letters(text: str, streamed: bool) -> None:
    reply = post(chat("easy " + text, user=text, stream=streamed))
    assert reply.status_code == 200
    reply.content.decode()


def test_a_line_of_megabytes_is_one_line() -> None:
    assert post(chat("x" * (2 << 20))).status_code == 200
