"""A reward model behind HTTP: what it is asked, how its rows are read, and what it may not do."""

import asyncio
from typing import Any

import pytest

from tests.http_server import HttpReply, HttpRequest, http_server
from workers.verifier import endpoint
from workers.verifier.base import VerifierFailed
from workers.verifier.endpoint import EndpointVerifier

THINKINGS = ["a = 3\nb = 4", "", "c"]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT_SECONDS", 0.01)


def pooled(request: HttpRequest) -> HttpReply:
    """Two numbers a step, as process reward models of two classes give."""
    steps = request.body["messages"][1]["content"].count("<extra_0>")
    rows = [[1 - 0.1 * (n + 1), 0.1 * (n + 1)] for n in range(steps)]
    return HttpReply({"data": [{"index": 0, "object": "pooling", "data": rows}]})


def scored(reply: Any, **options: Any) -> list[list[float]]:
    with http_server(reply if callable(reply) else lambda _: reply) as url:
        verifier = EndpointVerifier(url, "prm", **options)
        return asyncio.run(verifier.score("3 + 4?", THINKINGS))


def test_pooling_gives_the_reward_of_every_step() -> None:
    asked: list[HttpRequest] = []

    def answer(request: HttpRequest) -> HttpReply:
        asked.append(request)
        return pooled(request)

    assert scored(answer, key="secret") == [[0.1, 0.2], [], [0.1]]
    first = next(each for each in asked if "b = 4" in each.body["messages"][1]["content"])
    assert first.path == "/pooling"
    assert first.headers["authorization"] == "Bearer secret"
    assert first.body == {
        "model": "prm",
        "messages": [
            {"role": "user", "content": "3 + 4?"},
            {"role": "assistant", "content": "a = 3<extra_0>b = 4<extra_0>"},
        ],
    }
    assert len(asked) == 2


def test_score_judges_whole_thinkings_in_one_request() -> None:
    def answer(request: HttpRequest) -> HttpReply:
        assert request.path == "/score"
        assert request.body["text_1"] == "3 + 4?"
        assert request.body["text_2"] == [THINKINGS[0], THINKINGS[2]]
        return HttpReply({"data": [{"index": 1, "score": 0.25}, {"index": 0, "score": 0.75}]})

    assert scored(answer, route="score") == [[0.75], [], [0.25]]


def test_a_busy_server_is_tried_again() -> None:
    busy = iter([503, 429])

    def answer(request: HttpRequest) -> HttpReply:
        status = next(busy, None)
        return pooled(request) if status is None else HttpReply({"error": "busy"}, status)

    assert scored(answer) == [[0.1, 0.2], [], [0.1]]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (HttpReply({"error": "no such model"}, 404), "answered 404: .*no such model"),
        (HttpReply({"error": "down"}, 500), "answered 500: .*down"),
        (HttpReply(b"<html>"), "answered without `data`: <html>"),
        (HttpReply({"data": [{"data": [[0.5, 0.5]] * 7}]}), "gave 7 rewards of . steps?; `step_se"),
        (HttpReply({"data": [{"data": [[0.5], [0.5]]}]}), "gives 1 numbers a step, but right_inde"
         "|gave 2 rewards of 1 steps"),
        (HttpReply({"data": [{"data": [3.5]}]}), "gave 3.5, which is no reward from 0 to 1"
         "|gave 1 rewards of 2 steps"),
    ],
)  # fmt: skip
def test_a_reply_that_cannot_be_is_one_line_that_says_what_it_was(
    reply: HttpReply, why: str
) -> None:
    with pytest.raises(VerifierFailed, match=f"verifier http://127.0.0.1:.* ({why})"):
        scored(reply)


def test_an_address_where_nobody_listens() -> None:
    verifier = EndpointVerifier("http://127.0.0.1:9", "prm")
    with pytest.raises(VerifierFailed, match="verifier http://127.0.0.1:9 cannot be reached"):
        asyncio.run(verifier.score("3 + 4?", THINKINGS))
