"""Our client against a real HTTP server: keys, retries, errors, addresses."""

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from scheduler.client.http_client import Client
from scheduler.errors import RequestError
from tests.http_server import HttpReply, HttpRequest, http_server

OK = {"id": "x", "usage": {"completion_tokens": 3}, "choices": []}


class Scripted(NamedTuple):
    """Answers in the order given, then the last one for ever; keeps what it was asked."""

    url: str
    answers: list[tuple[int, Any, dict[str, str]]]
    requests: list[tuple[str, dict[str, str], Any]]


@pytest.fixture
def server() -> Iterator[Scripted]:
    answers: list[tuple[int, Any, dict[str, str]]] = []
    requests: list[tuple[str, dict[str, str], Any]] = []

    def answer(request: HttpRequest) -> HttpReply:
        requests.append((request.path, request.headers, request.body))
        status, reply, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        return HttpReply(reply, status, headers)

    with http_server(answer) as url:
        yield Scripted(url, answers, requests)


def answered(url: str, body: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        client = Client(url, **options)
        try:
            return await client.answer(body or {"model": "m", "messages": []})
        finally:
            await client.close()

    return asyncio.run(main())


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_an_address_may_have_v1_or_not(server: Scripted, suffix: str) -> None:
    server.answers.append((200, OK, {}))
    assert answered(server.url + suffix) == OK
    assert server.requests[0][0] == "/v1/chat/completions"


def test_the_key_comes_from_the_argument_or_the_environment(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers.append((200, OK, {}))
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    answered(server.url)
    answered(server.url, api_key="from-argument")
    keys = [headers["authorization"] for _, headers, _ in server.requests]
    assert keys == ["Bearer from-environment", "Bearer from-argument"]


def test_a_busy_endpoint_is_tried_again_when_it_says(server: Scripted) -> None:
    busy = {"error": {"message": "later", "type": "server_error", "param": None, "code": "busy"}}
    server.answers.extend(
        [(429, busy, {"retry-after": "0.1"}), (503, busy, {"retry-after": "0.1"})]
    )
    server.answers.append((200, OK, {}))
    assert answered(server.url) == OK
    assert len(server.requests) == 3


def test_the_error_of_the_endpoint_is_kept(server: Scripted) -> None:
    told = {"message": "no", "type": "invalid_request_error", "param": "top_p", "code": "bad"}
    server.answers.append((400, {"error": told}, {}))
    with pytest.raises(RequestError) as caught:
        answered(server.url)
    error = caught.value
    assert (error.status, error.kind, error.field, error.code) == (
        400, "invalid_request_error", "top_p", "bad",
    )  # fmt: skip
    assert "no" in error.message
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
@pytest.mark.parametrize("raw", [b"<html>gateway</html>", b"", b"[]", b'{"torn": ', b"\xff"])
def test_what_is_no_json_object_is_an_error(server: Scripted, raw: bytes, kind: str) -> None:
    server.answers.append((200, raw, {"content-type": kind}))
    with pytest.raises(RequestError, match="JSON object"):
        answered(server.url)


def test_a_stream_is_answered_whole(server: Scripted) -> None:
    server.answers.append((200, OK, {}))
    body = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
    answered(server.url, body)
    assert server.requests[0][2] == {"model": "m", "messages": []}


def test_an_endpoint_that_is_not_there_is_named_and_the_proxies_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RequestError, match=r"http://127\.0\.0\.1:9 cannot be reached") as caught:
        answered("http://127.0.0.1:9", max_retries=0)
    assert caught.value.code == "unreachable"
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(RequestError, match="proxy of HTTP_PROXY"):
        answered("http://127.0.0.1:8", max_retries=0)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://host", "http://", "http://[::1", "http://host:99999"]
)
def test_an_address_that_cannot_be_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match=r"url must .* got"):
        Client(url)


@pytest.mark.parametrize("key", ["ключ", "two\nlines"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="api_key must be printable ASCII") as caught:
        Client("http://127.0.0.1:9", api_key=key)
    assert key not in str(caught.value)
