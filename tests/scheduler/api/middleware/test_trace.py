"""Every request has an id and one line in the log, whatever became of it."""

import asyncio
import io
import json
from typing import Any

import httpx
import pytest

from scheduler.api.middleware.trace import TraceMiddleware
from scheduler.solving.metrics import Metrics
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine

LOG = "thinkbudget.requests"


def sent(*requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        async with client_of(await make_controller()) as client:
            return [await client.request(method, path, **how) for method, path, how in requests]

    return run_virtual(main())


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(r.getMessage()) for r in caplog.records if r.name == LOG]


@pytest.mark.parametrize("given", ["abc", "A-b_c.9", "x" * 128])
def test_a_plain_id_of_the_caller_is_kept(given: str) -> None:
    (reply,) = sent(("GET", "/version", {"headers": {"x-request-id": given}}))
    assert reply.headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\u00e9", "a;b", "<script>"])
def test_any_other_id_is_replaced_by_one_that_is_made(given: str) -> None:
    headers = [(b"x-request-id", given.encode("latin-1"))]
    (reply,) = sent(("GET", "/version", {"headers": headers}))
    (made,) = reply.headers.get_list("x-request-id")
    assert made != given and len(made) == 32


@pytest.mark.parametrize(
    "request_",
    [
        ("POST", CHAT, {"json": chat()}),
        ("POST", CHAT, {"json": chat(stream=True)}),
        ("POST", CHAT, {"json": chat(temperature=9)}),
        ("POST", CHAT, {"content": b"{"}),
        ("POST", CHAT, {"content": b"{}", "headers": {"content-type": "text/plain"}}),
        ("GET", "/nothing", {}),
        ("GET", "/health", {}),
    ],
)
def test_every_reply_has_an_id_of_its_own(request_: tuple[str, str, dict[str, Any]]) -> None:
    first, second = sent(request_, request_)
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_one_line_tells_of_a_request_and_nothing_of_its_texts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = chat("easy SECRET question", user="bob@example.com")
    with caplog.at_level("INFO", LOG):
        (reply,) = sent(("POST", CHAT, {"json": body, "headers": {"x-request-id": "r-1"}}))
    (line,) = lines(caplog)
    told = reply.json()["thinkbudget"]
    expected = {
        "method": "POST",
        "path": CHAT,
        "status": 200,
        "request_id": "r-1",
        "outcome": "ok",
        "outcome_id": told["outcome_id"],
        "policy": "fixed",
        "class": "default",
        "stop_reason": told["stop_reason"],
        "tokens": told["spent"]["tokens"],
        "model": "simulated",
        "replayed": False,
    }
    assert line | expected == line
    assert 0 <= line["first_content_seconds"] <= line["seconds"]
    text = json.dumps(line)
    assert "SECRET" not in text and "Answer" not in text and "bob" not in text


def test_the_line_of_what_was_refused_has_the_errors_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", LOG):
        sent(
            ("POST", CHAT, {"json": chat(model="gpt-4")}),
            ("POST", CHAT, {"content": b"{"}),
            ("GET", "/nothing", {}),
        )
    codes = [(line["status"], line["outcome"]) for line in lines(caplog)]
    assert codes == [(404, "model_not_found"), (400, "invalid_json"), (404, "refused")]


def test_the_line_of_a_stream_that_failed_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        engine = SimulatedEngine()
        async with client_of(await make_controller(engine)) as client:
            engine.kill()
            await client.post(CHAT, json=chat(stream=True))

    with caplog.at_level("INFO", LOG):
        run_virtual(main())
    assert [line["outcome"] for line in lines(caplog)] == ["engine_unavailable"]


def test_the_line_of_a_caller_who_left_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with client_of(await make_controller()) as client:
            asking = asyncio.create_task(client.post(CHAT, json=chat()))
            await asyncio.sleep(0.02)
            asking.cancel()
            await asyncio.wait({asking})

    with caplog.at_level("INFO", LOG):
        run_virtual(main())
    (line,) = lines(caplog)
    assert (line["outcome"], line["status"]) == ("disconnected", 0)


async def test_the_outcome_log_has_the_same_id() -> None:
    controller = await make_controller()
    controller.outcomes = io.StringIO()
    async with client_of(controller) as client:
        await client.post(CHAT, json=chat(), headers={"x-request-id": "r-1"})
    assert json.loads(controller.outcomes.getvalue())["request_id"] == "r-1"


class Broken:
    """An app with a bug, before or after its reply has begun."""

    def __init__(self, *, begins: bool) -> None:
        self.begins = begins

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("in /secret/path.py")


def test_a_bug_is_an_error_object_that_tells_no_more() -> None:
    async def main() -> httpx.Response:
        app = TraceMiddleware(Broken(begins=False), metrics=lambda _: Metrics())
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(CHAT)

    reply = run_virtual(main())
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["type"]) == (
        500, "internal_error", "server_error",
    )  # fmt: skip
    assert "secret" not in reply.text
    assert "x-request-id" in reply.headers


async def test_a_reply_that_has_begun_is_torn_off_by_a_bug() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = TraceMiddleware(Broken(begins=True), metrics=lambda _: Metrics())
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": []}
    with pytest.raises(RuntimeError):
        await app(scope, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["http.response.start"]


def test_behind_a_proxy_that_sends_the_id_it_is_not_sent_twice() -> None:
    async def main() -> httpx.Response:
        app = TraceMiddleware(Broken(begins=False), metrics=lambda _: Metrics(), sends_id=False)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/")

    assert "x-request-id" not in run_virtual(main()).headers
