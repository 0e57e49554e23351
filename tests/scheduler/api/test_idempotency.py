"""A request that is sent twice with one key is answered twice and run once."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from scheduler.access import CALLER, Caller
from scheduler.api import idempotency
from scheduler.api.idempotency import KEPT_SECONDS, MAX_KEPT, ORPHAN_SECONDS
from scheduler.controller import Controller
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller
from workers.clock import run_virtual
from workers.engine import Event, SampleRequest
from workers.sample import lost
from workers.simulated import SimulatedEngine

KEY = {"Idempotency-Key": "order-66"}


class Counting(SimulatedEngine):
    """Counts the requests it is asked; loses all chains while it is `broken`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.ended = 0
        self.broken = False

    async def sample(self, request: SampleRequest) -> AsyncGenerator[Event]:
        self.asked += 1
        try:
            if self.broken:
                for chain in request.chains:
                    yield lost(chain)
                return
            async with aclosing(super().sample(request)) as events:
                async for event in events:
                    yield event
        finally:
            self.ended += 1


Client = httpx.AsyncClient
Scene = Callable[[Client, Counting], Coroutine[Any, Any, None]]


def play(scene: Scene) -> None:
    async def main() -> None:
        engine = Counting()
        async with client_of(await make_controller(engine)) as client:
            await scene(client, engine)

    run_virtual(main())


async def sent(client: Client, key: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    return await client.post(CHAT, json=chat(**fields), headers=key or KEY)


@pytest.mark.parametrize("stream", [False, True])
def test_e3_25_a_retry_gets_the_finished_result_and_nothing_runs_twice(stream: bool) -> None:
    async def scene(client: Client, engine: Counting) -> None:
        first, second = await sent(client, stream=stream), await sent(client, stream=stream)
        assert first.status_code == second.status_code == 200
        assert first.content == second.content
        assert first.headers["content-type"] == second.headers["content-type"]
        assert first.headers["x-request-id"] != second.headers["x-request-id"]
        assert engine.asked == 1

    play(scene)


@pytest.mark.parametrize("stream", [False, True])
def test_e3_25_a_retry_while_it_runs_joins_it_from_the_beginning(stream: bool) -> None:
    async def scene(client: Client, engine: Counting) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(sent(client, stream=stream))]
            for _ in range(4):
                await asyncio.sleep(0.05)
                tasks.append(group.create_task(sent(client, stream=stream)))
        assert engine.asked == 1
        assert len({task.result().content for task in tasks}) == 1

    play(scene)


def test_without_a_key_every_request_runs() -> None:
    async def scene(client: Client, engine: Counting) -> None:
        for _ in range(2):
            await client.post(CHAT, json=chat())
        assert engine.asked == 2

    play(scene)


def test_a_key_with_another_body_is_refused() -> None:
    async def scene(client: Client, engine: Counting) -> None:
        await sent(client)
        reply = await sent(client, question="another question")
        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (422, "idempotency_key_reused")
        assert error["type"] == "invalid_request_error"
        assert engine.asked == 1

    play(scene)


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "caf\u00e9"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    async def scene(client: Client, engine: Counting) -> None:
        headers = [(b"Idempotency-Key", key.encode("latin-1"))]
        reply = await client.post(CHAT, json=chat(), headers=headers)
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] == "Idempotency-Key"
        assert engine.asked == 0

    play(scene)


@pytest.mark.parametrize("stream", [False, True])
def test_what_failed_may_be_tried_again(stream: bool) -> None:
    async def scene(client: Client, engine: Counting) -> None:
        engine.broken = True
        failed = await sent(client, stream=stream)
        assert "engine_unavailable" in failed.text
        engine.broken = False
        assert "engine_unavailable" not in (await sent(client, stream=stream)).text

    play(scene)


def test_a_refusal_is_not_kept() -> None:
    async def scene(client: Client, engine: Counting) -> None:
        assert (await sent(client, temperature=7)).status_code == 400
        assert (await sent(client)).status_code == 200

    play(scene)


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_callers_leave_is_not_the_end_for_the_others(stream: bool) -> None:
    async def scene(client: Client, engine: Counting) -> None:
        first = asyncio.create_task(sent(client, stream=stream))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(sent(client, stream=stream))
        await asyncio.sleep(0.05)
        first.cancel()
        reply = await second
        assert reply.status_code == 200 and "Answer" in reply.text
        assert engine.asked == 1

    play(scene)


def test_a_caller_who_left_may_come_again_in_time_and_otherwise_it_ends() -> None:
    slow = {"thinkbudget": {"policy": "fixed", "extensions": 6}}

    async def scene(client: Client, engine: Counting) -> None:
        first = asyncio.create_task(sent(client, **slow))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.sleep(0.05)
        assert (engine.asked, engine.ended) == (1, 0)
        assert (await sent(client, **slow)).status_code == 200
        assert engine.asked == 1

    play(scene)


def test_an_execution_that_nobody_comes_back_for_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "ORPHAN_SECONDS", 0.01)
    assert ORPHAN_SECONDS > 1

    async def scene(client: Client, engine: Counting) -> None:
        first = asyncio.create_task(sent(client))
        await asyncio.sleep(0.02)
        first.cancel()
        await asyncio.sleep(0.03)
        assert (engine.asked, engine.ended) == (1, 1)
        assert (await sent(client)).status_code == 200
        assert engine.asked == 2

    play(scene)


def test_results_are_forgotten_in_time() -> None:
    async def scene(client: Client, engine: Counting) -> None:
        await sent(client)
        await asyncio.sleep(KEPT_SECONDS - 1)
        await sent(client)
        assert engine.asked == 1
        await asyncio.sleep(2)
        await sent(client)
        assert engine.asked == 2

    play(scene)


async def _answers(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": (await receive())["body"]})


def _post(layer: idempotency.Idempotency, key: str, body: bytes = b"{}") -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    sent: list[Any] = []
    headers = [(b"idempotency-key", key.encode())]
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": headers}
    return layer(scope, receive, send)


def test_no_more_is_kept_than_the_bounds_say(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        idempotency.TRACE.set(idempotency.Trace())
        layer = idempotency.Idempotency(_answers)
        for number in range(MAX_KEPT + 5):
            await _post(layer, f"key-{number}")
            await asyncio.sleep(0)
        kept = layer._known[""]
        assert len(kept) == MAX_KEPT
        assert next(iter(kept)).key == "key-5"
        monkeypatch.setattr(idempotency, "MAX_KEPT_BYTES", 10)
        await _post(layer, "large", b"x" * 9)
        await asyncio.sleep(0)
        assert [name.key for name in kept] == ["large"]

    run_virtual(main())


def test_the_keys_of_one_tenant_say_nothing_of_anothers() -> None:
    async def main() -> None:
        idempotency.TRACE.set(idempotency.Trace())
        layer = idempotency.Idempotency(_answers)
        for name, body in (("alice", b"1"), ("bob", b"2")):
            CALLER.set(Caller(name))
            await _post(layer, "same", body)
        assert sorted(layer._known) == ["alice", "bob"]

    run_virtual(main())


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
