"""What strangers send: refused early, cheaply and in OpenAI's words."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.admission.access import AccessConfig, host_name
from scheduler.admission.admission import Admission
from scheduler.admission.limits import KeyLimits, LimitsConfig
from scheduler.api.app import make_app
from scheduler.api.keys import create, revoke
from scheduler.config import ServeConfig
from scheduler.settings import from_table
from tests.scheduler.simulation import CHAT, chat, make_controller, post
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine

LOCAL = AccessConfig()


def asked(
    method: str,
    path: str,
    *,
    access: AccessConfig = LOCAL,
    limits: LimitsConfig | None = None,
    engine: SimulatedEngine | None = None,
    base: str = "http://localhost:8000",
    **request: Any,
) -> httpx.Response:
    """The reply of a fresh server, walls and all."""

    async def main() -> httpx.Response:
        controller = await make_controller(engine)
        app = make_app(controller, access=access, limits=limits)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, **request)

    return run_virtual(main())


def error_of(reply: httpx.Response) -> dict[str, Any]:
    """The error object, within what an error may take."""
    assert len(reply.content) <= 2048
    assert reply.json().keys() == {"error"}
    error: dict[str, Any] = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert len(error["message"]) <= 1000
    return error


def key_for(path: Path, name: str = "alice", **fields: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {create(path, name, **fields)}"}


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("127.0.0.1:8000", True),
        ("10.1.2.3", True),
        ("[::1]:8000", True),
        ("models.example", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:8000", False),
        ("", False),
    ],
)
def test_a_page_of_another_name_cannot_reach_us(host: str, allowed: bool) -> None:
    access = AccessConfig(allowed_hosts=("models.example",))
    reply = asked("GET", "/v1/models", access=access, headers={"Host": host})
    assert reply.status_code == (200 if allowed else 403)
    if not allowed:
        assert error_of(reply)["code"] == "host_not_allowed"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://[", "file://"])
def test_a_page_of_another_origin_is_refused_and_told_nothing(origin: str) -> None:
    reply = asked("POST", CHAT, json=chat(), headers={"Origin": origin})
    assert (reply.status_code, error_of(reply)["code"]) == (403, "origin_not_allowed")
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert asked("POST", CHAT, json=chat(), headers={"Origin": "http://localhost:3000"}).is_success


def test_with_keys_any_name_will_do_unless_names_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    headers = key_for(path) | {"Host": "gateway.example"}
    open_to_names = AccessConfig(keys=str(path))
    listed = AccessConfig(keys=str(path), allowed_hosts=("other.example",))
    assert asked("GET", "/v1/models", access=open_to_names, headers=headers).is_success
    assert asked("GET", "/v1/models", access=listed, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/v1/chat/completions", "/metrics", "/version", "/v1/thinkbudget/curves",
     "/openapi.json", "/", "/nothing", "/v1/../metrics", "//metrics", "/health/", "/HEALTH"],
)  # fmt: skip
def test_no_path_is_open_but_two(tmp_path: Path, path: str) -> None:
    keys = tmp_path / "keys"
    create(keys, "alice")
    for headers in (
        {},
        {"Authorization": "Bearer tb-wrong"},
        {"Authorization": "Basic dGI6dGI="},
        {"Authorization": "Bearer"},
        # What proxies may be told to put into URLs decides nothing.
        {"X-Forwarded-Path": "/health", "X-Original-URL": "/health"},
    ):
        for method in ("GET", "POST", "OPTIONS", "DELETE"):
            access = AccessConfig(keys=str(keys))
            reply = asked(method, path, access=access, headers=headers, json=chat())
            assert (reply.status_code, error_of(reply)["code"]) == (401, "invalid_api_key")
            assert reply.headers["www-authenticate"] == "Bearer"


def test_health_and_readiness_are_open(tmp_path: Path) -> None:
    create(tmp_path / "keys", "alice")
    access = AccessConfig(keys=str(tmp_path / "keys"))
    assert asked("GET", "/health", access=access).status_code == 200
    assert asked("GET", "/ready", access=access).status_code == 200


def test_an_unknown_key_and_a_revoked_one_are_told_the_same(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    revoked, wrong = key_for(path, "alice"), {"Authorization": "Bearer tb-wrong"}
    access = AccessConfig(keys=str(path))
    assert asked("POST", CHAT, access=access, headers=revoked, json=chat()).is_success
    revoke(path, "alice")
    replies = [asked("POST", CHAT, access=access, headers=h, json=chat()) for h in (revoked, wrong)]
    assert replies[0].status_code == 401
    assert replies[0].json() == replies[1].json()


@pytest.mark.parametrize("path", ["/metrics", "/v1/thinkbudget/curves", "/version"])
def test_what_is_learned_and_counted_is_for_administrators(tmp_path: Path, path: str) -> None:
    keys = tmp_path / "keys"
    users, admins = key_for(keys, "user"), key_for(keys, "boss", role="admin")
    access = AccessConfig(keys=str(keys))
    refused = asked("GET", path, access=access, headers=users)
    assert (refused.status_code, error_of(refused)["type"]) == (403, "permission_error")
    assert asked("GET", path, access=access, headers=admins).status_code == 200


def test_quotas_are_told_in_headers_and_kept(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    limits = KeyLimits(requests_per_minute=2, tokens_per_minute=100_000)
    headers = key_for(keys, limits=limits)

    async def main() -> list[httpx.Response]:
        app = make_app(await make_controller(), access=AccessConfig(keys=str(keys)))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            ask = [await client.post(CHAT, json=chat(), headers=headers) for _ in range(3)]
            return [*ask, await client.get("/v1/models", headers=headers)]

    first, second, third, models = run_virtual(main())
    assert [reply.status_code for reply in (first, second, third)] == [200, 200, 429]
    left = int(second.headers["x-ratelimit-remaining-tokens"])
    spent = sum(reply.json()["usage"]["completion_tokens"] for reply in (first, second))
    assert left == 100_000 - spent
    assert third.headers["x-ratelimit-remaining-requests"] == "0"
    assert error_of(third)["code"] == "rate_limit_exceeded"
    assert 1 <= int(third.headers["retry-after"]) <= 90
    assert models.status_code == 200  # reading costs nothing


NOT_AN_OBJECT = {
    "torn": b"{",
    "empty": b"",
    "utf-8": b'{"model": "\xff"}',
    "deep": b"[" * 100_000,
    "digits": b'{"n": ' + b"9" * 5000 + b"}",
    "keys": b'{"model": "a", "model": "b"}',
    "nan": b'{"temperature": NaN}',
    "infinity": b'{"temperature": -Infinity}',
    "huge": b'{"temperature": 1e400}',
    "array": b"[]",
    "text": b'"text"',
    "null": b"null",
}


@pytest.mark.parametrize("raw", NOT_AN_OBJECT.values(), ids=NOT_AN_OBJECT)
def test_what_is_not_a_json_object_is_a_400(raw: bytes) -> None:
    reply = asked("POST", CHAT, content=raw)
    error = error_of(reply)
    assert (reply.status_code, error["type"]) == (400, "invalid_request_error")
    assert (error["code"], error["param"]) == ("invalid_json", None)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_body_that_says_it_is_something_else_is_a_400(kind: str) -> None:
    body = json.dumps(chat()).encode()
    reply = asked("POST", CHAT, content=body, headers={"Content-Type": kind})
    assert (reply.status_code, error_of(reply)["param"]) == (400, "content-type")
    for fine in ("application/json; charset=utf-8", "Application/JSON", "application/x+json"):
        assert asked("POST", CHAT, content=body, headers={"Content-Type": fine}).is_success


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "user", "content": "x"}] * 10_000}, "messages"),
        ({"stop": "x" * (1 << 20)}, "stop"),
        ({"stop": ["x"] * 10_000}, "stop"),
    ],
    ids=["messages", "letters", "stops"],
)
def test_what_is_too_much_of_one_field_is_a_400(fields: dict[str, Any], param: str) -> None:
    reply = asked("POST", CHAT, json=chat() | fields)
    assert (reply.status_code, error_of(reply)["param"]) == (400, param)


@pytest.mark.parametrize(
    ("field", "value"),
    [("n", value) for value in (0, -1, 17, 10**9, True, 1.5, "2")]
    + [("top_logprobs", value) for value in (10**6, -1, True)]
    + [("max_tokens", value) for value in (0, -1, 2**63, 10**30, True)]
    + [("temperature", value) for value in (-1, 1e9, True, "hot")]
    + [("seed", value) for value in (2**64, -(2**64), 1.5, True)],
)
def test_a_number_out_of_range_is_a_400_that_names_it(field: str, value: object) -> None:
    body = chat(logprobs=True) | {field: value}
    reply = asked("POST", CHAT, json=body)
    error = error_of(reply)
    assert (reply.status_code, error["type"], error["param"]) == (
        400,
        "invalid_request_error",
        field,
    )


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_at_all_make_a_server_error(raw: bytes) -> None:
    reply = asked("POST", CHAT, content=raw)
    assert reply.status_code == 400
    assert error_of(reply)["type"] == "invalid_request_error"


async def test_a_body_that_is_too_large_is_refused_by_what_it_declares() -> None:
    app, read = make_app(await make_controller(), access=LOCAL), []

    async def receive() -> dict[str, Any]:
        read.append(1)
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    status, error = await called(app, receive, [(b"content-length", b"%d" % (50 << 20))])
    assert (status, error["code"]) == (413, "request_too_large")
    assert not read


async def test_a_body_that_declares_nothing_is_read_as_far_as_the_limit() -> None:
    app, read = make_app(await make_controller(), access=LOCAL), []

    async def receive() -> dict[str, Any]:
        read.append(1)
        return {"type": "http.request", "body": b"x" * (1 << 20), "more_body": True}

    status, error = await called(app, receive)
    assert (status, error["code"]) == (413, "request_too_large")
    assert len(read) == 5


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"x", b"1, 1", b"9" * 5000])
async def test_a_length_that_is_none_is_refused(length: bytes) -> None:
    app = make_app(await make_controller(), access=LOCAL)

    async def receive() -> dict[str, Any]:
        raise AssertionError("read")

    status, error = await called(app, receive, [(b"content-length", length)])
    assert status in (400, 413)
    assert len(json.dumps(error)) < 2048


async def test_a_slow_upload_is_cut_off() -> None:
    app = make_app(await make_controller(), access=LOCAL)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(1)
        return {"type": "http.request", "body": b" ", "more_body": True}

    status, error = await called(app, receive)
    assert (status, error["code"]) == (408, "request_timeout")
    assert asyncio.get_running_loop().time() == pytest.approx(30)


def test_a_loris_on_the_wire_gets_a_408_that_is_not_to_be_retried() -> None:
    async def main() -> None:
        limits = LimitsConfig(upload_seconds=0.3)
        async with served(make_app(await make_controller(), access=LOCAL, limits=limits)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
            writer.write(head.encode() + b"{")
            await writer.drain()
            reply = (await asyncio.wait_for(reader.read(), 5)).decode()
            writer.close()
            head, _, body = reply.partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 408")
            assert "x-should-retry: false" in head.lower()
            assert json.loads(body)["error"]["code"] == "request_timeout"

    asyncio.run(main())


async def test_all_bodies_that_are_held_are_bounded_together() -> None:
    limits = LimitsConfig(body_bytes=4096, held_bytes=8192)
    app = make_app(await make_controller(), access=LOCAL, limits=limits)

    def loris() -> Any:
        begun: list[int] = []

        async def receive() -> dict[str, Any]:
            if begun:
                await asyncio.sleep(5)
            begun.append(1)
            body = b" " * 4000 if len(begun) == 1 else b"{}"
            return {"type": "http.request", "body": body, "more_body": len(begun) == 1}

        return receive

    replies = await asyncio.gather(*(called(app, loris()) for _ in range(3)))
    codes = [error["code"] for _, error in replies]
    assert codes[2] == "queue_full" and replies[2][0] == 429
    assert "queue_full" not in codes[:2]
    assert (await called(app, loris()))[1]["code"] != "queue_full"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"headers": {"X-Long": "x" * 40_000}}, 431),
        ({"headers": {f"X-{n}": "x" * 1000 for n in range(40)}}, 431),
        ({"params": {"q": "x" * 5000}}, 414),
    ],
    ids=["one", "many", "path"],
)
def test_heads_have_limits(request_: dict[str, Any], status: int) -> None:
    reply = asked("GET", "/v1/models", **request_)
    assert reply.status_code == status
    assert error_of(reply)["code"] == "request_too_large"


@pytest.mark.parametrize(
    "fields",
    [
        {"x": "\x00" * 5000},
        {"stream_options": "é" * 5000},
        {"thinkbudget": {"\x00" * 5000: 1}},
        {"thinkbudget": {"policy": "\\\"'" * 3000}},
        {"messages": [{"role": "user", "content": 5}] * 1000},
        {"temperature": "\u2028" * 5000},
    ],
    ids=["ignored", "letters", "field", "escapes", "items", "separators"],
)
def test_an_error_is_small_whatever_was_wrong(fields: dict[str, Any]) -> None:
    reply = post(chat() | fields)
    assert reply.status_code in (200, 400)
    if reply.status_code == 400:
        error_of(reply)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("DELETE", "/v1/models", 405), ("GET", "/" + "%00é" * 900, 404)],
)
def test_what_is_not_there_is_told_as_such(method: str, path: str, status: int) -> None:
    reply = asked(method, path)
    assert (reply.status_code, error_of(reply)["code"]) == (status, "not_found")


def test_a_failure_inside_tells_nothing_of_the_inside() -> None:
    class Broken(SimulatedEngine):
        def sample(self, request: Any) -> Any:
            raise RuntimeError("/srv/secret/path.py, line 3")

    for stream in (False, True):
        reply = asked("POST", CHAT, engine=Broken(), json=chat(stream=stream))
        assert "secret" not in reply.text and "Traceback" not in reply.text
        assert '"internal_error"' in reply.text


async def test_a_web_socket_is_closed_without_a_look() -> None:
    app, sent = make_app(await make_controller(), access=LOCAL), []

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/", "headers": []}, None, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def called(
    app: FastAPI, receive: Any, headers: list[tuple[bytes, bytes]] | None = None
) -> tuple[int, dict[str, Any]]:
    """Status and error of one POST whose body comes as `receive` has it."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": CHAT, "raw_path": CHAT.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"host", b"localhost"), *(headers or [])],
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])["error"]


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """The app behind a real uvicorn in this process."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


class Slow(SimulatedEngine):
    """One that is busy with its chains until it is told to stop."""

    closed = 0

    async def sample(self, request: Any) -> Any:
        from workers.sample import Accepted

        try:
            yield Accepted(prompt_tokens=3)
            await asyncio.sleep(60)
        finally:
            self.closed += len(request.chains)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("samples", [1, 8])
def test_a_client_that_leaves_ends_every_chain_within_a_second(stream: bool, samples: int) -> None:
    async def main() -> None:
        engine = Slow()
        controller = await make_controller(engine, policy="majority", samples=samples)
        controller.admission = Admission(LimitsConfig(), slots=16)
        async with served(make_app(controller, access=LOCAL)) as port:
            body = json.dumps(chat(stream=stream)).encode()
            head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode() + body)
            await writer.drain()
            while not controller.ledger.reserved:
                await asyncio.sleep(0.01)
            writer.close()
            began = asyncio.get_running_loop().time()
            async with asyncio.timeout(5):
                while controller.admission.running:
                    await asyncio.sleep(0.01)
            assert asyncio.get_running_loop().time() - began < 1.0
            assert engine.closed == samples
            assert controller.ledger.reserved == 0

    asyncio.run(main())


async def test_a_client_that_leaves_the_queue_gives_its_place_up() -> None:
    controller = await make_controller(Slow())
    controller.admission = Admission(LimitsConfig(max_running=1, max_queue=1))
    app = make_app(controller, access=LOCAL)
    body = json.dumps(chat()).encode()
    leaving = [asyncio.Event(), asyncio.Event()]

    def client(left: asyncio.Event) -> Any:
        unread = [body]

        async def receive() -> dict[str, Any]:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            await left.wait()
            return {"type": "http.disconnect"}

        return receive

    async def silent(left: asyncio.Event) -> bool:
        try:
            await called(app, client(left))
        except IndexError:
            return True  # nothing was sent to who had left
        return False

    tasks = [asyncio.create_task(silent(left)) for left in leaving]
    await asyncio.sleep(1)
    assert (controller.admission.running, controller.admission.waiting) == (1, 1)
    status, error = await called(app, client(asyncio.Event()))
    assert (status, error["code"]) == (429, "queue_full")
    leaving[1].set()
    await asyncio.sleep(0.1)
    assert (controller.admission.running, controller.admission.waiting) == (1, 0)
    leaving[0].set()
    assert await asyncio.gather(*tasks) == [True, True]
    assert controller.admission.running == 0
    assert asyncio.get_running_loop().time() < 5


async def test_a_thousand_requests_at_once_get_json_every_time() -> None:
    controller = await make_controller(SimulatedEngine(slots=16))
    controller.admission = Admission(LimitsConfig(max_running=32, max_queue=64), slots=16)
    transport = httpx.ASGITransport(make_app(controller, access=LOCAL))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", timeout=None
    ) as client:
        ask = [client.post(CHAT, json=chat(f"easy question {n}")) for n in range(1000)]
        replies = await asyncio.gather(*ask)
    answered = [reply for reply in replies if reply.status_code == 200]
    refused = [reply for reply in replies if reply.status_code == 429]
    assert len(answered) >= 96
    assert len(answered) + len(refused) == 1000
    for reply in refused:
        assert error_of(reply)["code"] == "queue_full"
        assert int(reply.headers["retry-after"]) >= 1
    assert len({reply.headers["retry-after"] for reply in refused}) > 1
    assert (controller.admission.running, controller.ledger.reserved) == (0, 0)


async def test_draining_is_a_503_that_says_when_to_come_back() -> None:
    controller = await make_controller()
    await controller.admission.drain(0)
    transport = httpx.ASGITransport(make_app(controller, access=LOCAL))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for reply in (await client.post(CHAT, json=chat()), await client.get("/ready")):
            assert (reply.status_code, error_of(reply)["code"]) == (503, "draining")
            assert reply.headers["retry-after"] == "5"
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_a_loopback_address_needs_no_keys(host: str) -> None:
    config = ServeConfig(host=host)
    assert config.access.warning(config.host) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gpu.example", ""])
def test_a_network_needs_keys_or_an_insecure_word(host: str) -> None:
    with pytest.raises(ValueError, match="no keys are asked for"):
        ServeConfig(host=host)
    assert ServeConfig(host=host, access=AccessConfig(keys="keys")).access.warning(host) is None
    insecure = ServeConfig(host=host, access=AccessConfig(insecure_no_auth=True))
    assert "anybody" in str(insecure.access.warning(host))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (
            {"limits": {"max_queue": -1}},
            "limits.max_queue must be greater than or equal to 0, got -1",
        ),
        ({"limits": {"max_queu": 1}}, "did you mean 'max_queue'"),
        (
            {"limits": {"queue_seconds": True}},
            "limits.queue_seconds must be a valid number, got True",
        ),
        ({"limits": {"per_key": {"tokens_per_day": 0}}}, "limits.per_key.tokens_per_day"),
        ({"access": {"keys": 3}}, "access.keys must be a valid string, got 3"),
        ({"access": {"allowed_hosts": "x"}}, "access.allowed_hosts must be"),
        ({"host": "0.0.0.0"}, "host '0.0.0.0'"),
    ],
)
def test_a_mistake_in_the_settings_is_named(table: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as refused:
        from_table(ServeConfig, table)
    assert told in str(refused.value)


def test_settings_of_the_walls_are_read() -> None:
    config = from_table(
        ServeConfig,
        {
            "access": {"keys": "k", "allowed_hosts": ["a.example"]},
            "limits": {"max_running": 4, "per_key": {"requests_per_minute": 60}},
        },
    )
    assert config.access == AccessConfig("k", ("a.example",))
    assert config.limits == LimitsConfig(4, per_key=KeyLimits(60))


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="exclude"):
        AccessConfig(keys="keys", insecure_no_auth=True)
    with pytest.raises(ValueError, match="'Example:80'"):
        AccessConfig(allowed_hosts=("Example:80",))
    assert host_name("[::1]:8000") == host_name("::1") == "::1"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_anthropics_header_holds_a_key_too(tmp_path: Path, path: str) -> None:
    keys = tmp_path / "keys"
    secret = create(keys, "alice")
    access = AccessConfig(keys=str(keys))
    body = {"model": "simulated", "max_tokens": 400, "messages": chat()["messages"]}
    for good in ({"X-Api-Key": secret}, {"Authorization": f"Bearer {secret}"}):
        assert asked("POST", path, access=access, headers=good, json=body).is_success
    for bad in ({}, {"X-Api-Key": "tb-wrong"}, {"X-Api-Key": ""}, {"Authorization": "Basic x"}):
        refused = asked("POST", path, access=access, headers=bad, json=body)
        told = refused.json()
        assert (refused.status_code, told["type"]) == (401, "error")
        assert told["error"]["type"] == "authentication_error"


def test_whoever_may_ask_may_count_tokens(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    user, access = key_for(keys, "alice"), AccessConfig(keys=str(keys))
    told = asked("POST", "/tokenize", access=access, headers=user, json={"prompt": "a b"})
    assert told.json()["count"] == 2
    assert asked("GET", "/tokenizer_info", access=access, headers=user).is_success
    assert asked("POST", "/tokenize", access=access, json={"prompt": "a b"}).status_code == 401
