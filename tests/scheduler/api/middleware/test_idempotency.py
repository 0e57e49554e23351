"""A request that is sent twice with one key is answered twice and run once."""

import asyncio
import hashlib
import json
import pickle
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any

import httpx
import pytest

from scheduler.admission.access import CALLER, Caller
from scheduler.api.app import make_app
from scheduler.api.middleware import idempotency
from scheduler.api.middleware.claims import (
    KEPT_SECONDS,
    LEASE_SECONDS,
    ClaimResult,
    Claims,
    IdempotencyName,
    StoredResponse,
)
from scheduler.api.middleware.idempotency import AWAY_SECONDS, ORPHAN_SECONDS
from scheduler.solving.controller import Controller
from scheduler.solving.trace import TRACE, Trace
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller
from workers.engine import EngineEvent, SampleRequest
from workers.sample import lost
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine

KEY = {"Idempotency-Key": "order-66"}


class Counting(SimulatedEngine):
    """Counts the requests it is asked; takes `delay`; loses all chains while it is `broken`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.ended = 0
        self.broken = False
        self.delay = 0.0

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        self.asked += 1
        try:
            if self.broken:
                for chain in request.chains:
                    yield lost(chain)
                return
            await asyncio.sleep(self.delay)
            async with aclosing(super().sample(request)) as events:
                async for event in events:
                    yield event
        finally:
            self.ended += 1


Client = httpx.AsyncClient
Fields = dict[str, Any]
Scenario = Callable[[Client, Counting], Coroutine[Any, Any, None]]


def run_scenario(scenario: Scenario) -> None:
    async def main() -> None:
        engine = Counting()
        async with client_of(await make_controller(engine)) as client:
            await scenario(client, engine)

    run_virtual(main())


async def sent(client: Client, key: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    return await client.post(CHAT, json=chat(**fields), headers=key or KEY)


@pytest.mark.parametrize("stream", [False, True])
def test_a_retry_gets_the_finished_result_and_nothing_runs_twice(stream: bool) -> None:
    async def scenario(client: Client, engine: Counting) -> None:
        first, second = await sent(client, stream=stream), await sent(client, stream=stream)
        assert first.status_code == second.status_code == 200
        assert first.content == second.content
        assert first.headers["content-type"] == second.headers["content-type"]
        assert first.headers["x-request-id"] != second.headers["x-request-id"]
        assert engine.asked == 1

    run_scenario(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_a_retry_while_it_runs_joins_it_from_the_beginning(stream: bool) -> None:
    async def scenario(client: Client, engine: Counting) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(sent(client, stream=stream))]
            for _ in range(4):
                await asyncio.sleep(0.05)
                tasks.append(group.create_task(sent(client, stream=stream)))
        assert engine.asked == 1
        assert len({task.result().content for task in tasks}) == 1

    run_scenario(scenario)


def test_without_a_key_every_request_runs() -> None:
    async def scenario(client: Client, engine: Counting) -> None:
        for _ in range(2):
            await client.post(CHAT, json=chat())
        assert engine.asked == 2

    run_scenario(scenario)


def test_a_key_with_another_body_is_refused() -> None:
    async def scenario(client: Client, engine: Counting) -> None:
        await sent(client)
        reply = await sent(client, question="another question")
        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (422, "idempotency_key_reused")
        assert error["type"] == "invalid_request_error"
        assert engine.asked == 1

    run_scenario(scenario)


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "caf\u00e9"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    async def scenario(client: Client, engine: Counting) -> None:
        headers = [(b"Idempotency-Key", key.encode("latin-1"))]
        reply = await client.post(CHAT, json=chat(), headers=headers)
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] == "Idempotency-Key"
        assert engine.asked == 0

    run_scenario(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_what_failed_may_be_tried_again(stream: bool) -> None:
    async def scenario(client: Client, engine: Counting) -> None:
        engine.broken = True
        failed = await sent(client, stream=stream)
        assert "engine_unavailable" in failed.text
        engine.broken = False
        assert "engine_unavailable" not in (await sent(client, stream=stream)).text

    run_scenario(scenario)


def test_a_refusal_is_not_kept() -> None:
    async def scenario(client: Client, engine: Counting) -> None:
        assert (await sent(client, temperature=7)).status_code == 400
        assert (await sent(client)).status_code == 200

    run_scenario(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_callers_leave_is_not_the_end_for_the_others(stream: bool) -> None:
    async def scenario(client: Client, engine: Counting) -> None:
        first = asyncio.create_task(sent(client, stream=stream))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(sent(client, stream=stream))
        await asyncio.sleep(0.05)
        first.cancel()
        reply = await second
        assert reply.status_code == 200 and "Answer" in reply.text
        assert engine.asked == 1

    run_scenario(scenario)


def test_a_caller_who_left_may_come_again_in_time_and_otherwise_it_ends() -> None:
    slow: Fields = {"thinkbudget": {"policy": "fixed", "extensions": 6}}

    async def scenario(client: Client, engine: Counting) -> None:
        first = asyncio.create_task(sent(client, **slow))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.sleep(0.05)
        assert (engine.asked, engine.ended) == (1, 0)
        assert (await sent(client, **slow)).status_code == 200
        assert engine.asked == 1

    run_scenario(scenario)


def test_an_execution_that_nobody_comes_back_for_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "ORPHAN_SECONDS", 0.01)
    assert ORPHAN_SECONDS > 1

    async def scenario(client: Client, engine: Counting) -> None:
        first = asyncio.create_task(sent(client))
        await asyncio.sleep(0.02)
        first.cancel()
        await asyncio.sleep(0.03)
        assert (engine.asked, engine.ended) == (1, 1)
        assert (await sent(client)).status_code == 200
        assert engine.asked == 2

    run_scenario(scenario)


def test_results_are_forgotten_in_time() -> None:
    async def scenario(client: Client, engine: Counting) -> None:
        await sent(client)
        await asyncio.sleep(KEPT_SECONDS - 1)
        await sent(client)
        assert engine.asked == 1
        await asyncio.sleep(2)
        await sent(client)
        assert engine.asked == 2

    run_scenario(scenario)


async def _answers(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": (await receive())["body"]})


async def _post(layer: idempotency.IdempotencyMiddleware, key: str, body: bytes) -> bytes:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    told: list[Any] = []
    headers = [(b"idempotency-key", key.encode())]
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": headers}
    await layer(scope, receive, send)
    return b"".join(message.get("body", b"") for message in told)


async def test_the_keys_of_one_tenant_say_nothing_of_anothers() -> None:
    TRACE.set(Trace())
    layer = idempotency.IdempotencyMiddleware(_answers)
    for name, body in (("alice", b"1"), ("bob", b"2"), ("alice", b"1")):
        CALLER.set(Caller(name))
        assert await _post(layer, "same", body) == body


def test_a_replay_is_logged_as_one_and_its_tokens_count_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> Controller:
        controller = await make_controller(Counting())
        async with client_of(controller) as client:
            await sent(client)
            await sent(client)
        return controller

    with caplog.at_level("INFO", "thinkbudget.requests"):
        controller = run_virtual(main())
    first, second = [json.loads(r.getMessage()) for r in caplog.records]
    assert (first["replayed"], second["replayed"]) == (False, True)
    assert first["tokens"] > 0 and second["tokens"] == 0
    assert first["outcome_id"] == second["outcome_id"]
    assert first["request_id"] != second["request_id"]
    assert b'thinkbudget_requests_total{class="default",outcome="ok",policy="fixed"} 2.0' in (
        controller.metrics.text()
    )


class Shared:
    """One Claims for several apps, as the bookkeeper has it; nobody hears it while it is `away`."""

    def __init__(self) -> None:
        self.claims = Claims(lambda: asyncio.get_running_loop().time())
        self.away = False
        self.asked = 0

    async def claim(
        self, name: IdempotencyName, fingerprint: bytes, owner: str, waits: bool = False
    ) -> ClaimResult:
        await self._arrive()
        return self.claims.claim(name, fingerprint, owner, waits)

    async def renew(
        self, owner: str, held: Mapping[IdempotencyName, bytes]
    ) -> list[IdempotencyName]:
        await self._arrive()
        return self.claims.renew(owner, held)

    async def finish(self, name: IdempotencyName, owner: str, reply: StoredResponse) -> None:
        await self._arrive()
        # What travels is a copy.
        self.claims.finish(name, owner, pickle.loads(pickle.dumps(reply)))

    async def release(self, name: IdempotencyName, owner: str) -> None:
        await self._arrive()
        self.claims.release(name, owner)

    async def _arrive(self) -> None:
        self.asked += 1
        await asyncio.sleep(0.002)
        if self.away:
            raise ConnectionError("the bookkeeper is away")


SharedScenario = Callable[[list[Client], Counting, Shared], Coroutine[Any, Any, None]]
SLOW: Fields = {"thinkbudget": {"policy": "fixed", "extensions": 6}}


def run_shared_scenario(scenario: SharedScenario) -> None:
    """Three gateways, one engine."""

    async def main() -> None:
        engine, shared = Counting(), Shared()
        async with AsyncExitStack() as stack:
            clients = []
            for _ in range(3):
                app = make_app(await make_controller(engine), claims=shared)
                transport = httpx.ASGITransport(app, raise_app_exceptions=False)
                client = httpx.AsyncClient(transport=transport, base_url="http://test")
                clients.append(await stack.enter_async_context(client))
            await scenario(clients, engine, shared)

    run_virtual(main())


@pytest.mark.parametrize("stream", [False, True])
def test_over_all_controllers_it_runs_once(stream: bool) -> None:
    async def scenario(clients: list[Client], engine: Counting, shared: Shared) -> None:
        calls = [sent(client, stream=stream, **SLOW) for client in clients * 3]
        replies = await asyncio.gather(*calls)
        replies += [await sent(client, stream=stream, **SLOW) for client in clients]
        assert engine.asked == 1
        assert {reply.status_code for reply in replies} == {200}
        assert len({reply.content for reply in replies}) == 1
        assert len({reply.headers["content-type"] for reply in replies}) == 1
        assert len({reply.headers["x-request-id"] for reply in replies}) == len(replies)

    run_shared_scenario(scenario)


@pytest.mark.parametrize("is_over", [False, True])
def test_another_body_is_refused_at_another_controller(is_over: bool) -> None:
    async def scenario(clients: list[Client], engine: Counting, shared: Shared) -> None:
        first = asyncio.create_task(sent(clients[0]))
        await (asyncio.sleep(0.05) if not is_over else first)
        reply = await sent(clients[1], question="another question")
        assert (reply.status_code, reply.json()["error"]["code"]) == (422, "idempotency_key_reused")
        assert (await first).status_code == 200
        assert engine.asked == 1

    run_shared_scenario(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_is_not_kept_for_other_controllers(stream: bool) -> None:
    async def scenario(clients: list[Client], engine: Counting, shared: Shared) -> None:
        engine.broken = True
        assert "engine_unavailable" in (await sent(clients[0], stream=stream)).text
        engine.broken = False
        replies = [await sent(client, stream=stream) for client in clients]
        assert "engine_unavailable" not in replies[0].text
        assert len({reply.content for reply in replies}) == 1

    run_shared_scenario(scenario)


def test_a_dead_controllers_request_runs_again_where_it_is_waited_for() -> None:
    async def scenario(clients: list[Client], engine: Counting, shared: Shared) -> None:
        now = asyncio.get_running_loop().time
        fingerprint = hashlib.sha256(
            httpx.Request("POST", "http://test", json=chat()).content
        ).digest()
        await shared.claim(IdempotencyName("", CHAT, KEY["Idempotency-Key"]), fingerprint, "dead")
        replies = await asyncio.gather(*[sent(client) for client in clients])
        assert now() >= LEASE_SECONDS
        assert {reply.status_code for reply in replies} == {200}
        assert len({reply.content for reply in replies}) == 1
        assert engine.asked == 1

    run_shared_scenario(scenario)


def test_a_caller_who_left_may_wait_at_another_controller_for_as_long_as_it_takes() -> None:
    async def scenario(clients: list[Client], engine: Counting, shared: Shared) -> None:
        engine.delay = 3 * ORPHAN_SECONDS
        first = asyncio.create_task(sent(clients[0]))
        await asyncio.sleep(1)
        first.cancel()
        assert (await sent(clients[1])).status_code == 200
        assert engine.asked == 1

    run_shared_scenario(scenario)


def test_one_that_nobody_waits_for_anywhere_is_ended_and_may_run_again() -> None:
    async def scenario(clients: list[Client], engine: Counting, shared: Shared) -> None:
        engine.delay = 3 * ORPHAN_SECONDS
        for client in clients[:2]:
            call = asyncio.create_task(sent(client))
            await asyncio.sleep(1)
            call.cancel()
        await asyncio.sleep(2.5 * ORPHAN_SECONDS)
        assert (engine.asked, engine.ended) == (1, 1)
        assert (await sent(clients[1])).status_code == 200
        assert engine.asked == 2

    run_shared_scenario(scenario)


def test_while_the_bookkeeper_is_away_each_controller_has_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(clients: list[Client], engine: Counting, shared: Shared) -> None:
        shared.away = True
        for client in clients[:2]:
            first, second = await sent(client), await sent(client)
            assert first.status_code == 200 and first.content == second.content
            other = await sent(client, {"Idempotency-Key": "order-67"})
            assert other.status_code == 200
        assert engine.asked == 4
        # One that asked and was refused, and what it had to tell afterwards.
        assert shared.asked <= 2 * 3
        warnings = [one for one in caplog.records if "bookkeeper is away" in one.getMessage()]
        assert len(warnings) == 2
        shared.away = False
        await asyncio.sleep(AWAY_SECONDS)
        key = {"Idempotency-Key": "order-68"}
        replies = await asyncio.gather(*[sent(client, key) for client in clients])
        assert engine.asked == 5
        assert len({reply.content for reply in replies}) == 1

    with caplog.at_level("WARNING", "thinkbudget"):
        run_shared_scenario(scenario)


@pytest.mark.parametrize("is_noticed", [False, True])
@pytest.mark.parametrize("forgets", [False, True])
def test_what_runs_elsewhere_is_waited_for_while_the_bookkeeper_is_replaced(
    forgets: bool, is_noticed: bool
) -> None:
    async def scenario(clients: list[Client], engine: Counting, shared: Shared) -> None:
        engine.delay = 60
        first = asyncio.create_task(sent(clients[0]))
        await asyncio.sleep(5)
        second = asyncio.create_task(sent(clients[1]))
        await asyncio.sleep(1)
        shared.away = is_noticed
        await asyncio.sleep(2)
        shared.away = False
        if forgets:
            shared.claims = Claims(asyncio.get_running_loop().time)
        await asyncio.sleep(10)
        third = asyncio.create_task(sent(clients[2]))
        replies = await asyncio.gather(first, second, third)
        assert engine.asked == 1
        assert len({reply.content for reply in replies}) == 1

    run_shared_scenario(scenario)


def test_a_reply_that_is_ready_while_the_bookkeeper_is_replaced_reaches_the_others() -> None:
    async def scenario(clients: list[Client], engine: Counting, shared: Shared) -> None:
        engine.delay = 5
        first = asyncio.create_task(sent(clients[0]))
        await asyncio.sleep(1)
        second = asyncio.create_task(sent(clients[1]))
        await asyncio.sleep(1)
        shared.away = True
        reply = await first
        shared.away, shared.claims = False, Claims(asyncio.get_running_loop().time)
        assert (await second).content == reply.content
        assert engine.asked == 1

    run_shared_scenario(scenario)


def test_requests_without_a_key_ask_nobody() -> None:
    async def scenario(clients: list[Client], engine: Counting, shared: Shared) -> None:
        assert (await clients[0].post(CHAT, json=chat())).status_code == 200
        assert shared.asked == 0

    run_shared_scenario(scenario)
