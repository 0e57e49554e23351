"""What every stream does with a query that fails."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.scheduler.simulation import client_of, make_controller
from workers.engine import EngineEvent, Refused, SampleRequest
from workers.simulated.engine import SimulatedEngine

MESSAGES = [{"role": "user", "content": "easy question"}]


class Refusing(SimulatedEngine):
    """Refuses a request after 15 seconds, when a stream has begun with a sign of life."""

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        await asyncio.sleep(15)
        raise Refused("messages", "too long for the engine")
        yield


@pytest.mark.parametrize(
    ("path", "body", "kept_alive", "failed"),
    [
        ("chat/completions", {"messages": MESSAGES}, ": keep-alive", '"error"'),
        ("responses", {"input": "easy question"}, ": keep-alive", "event: response.failed"),
        ("messages", {"messages": MESSAGES, "max_tokens": 99}, "event: ping", "event: error"),
    ],
)
async def test_a_request_that_is_refused_after_a_sign_of_life_ends_in_an_error_event(
    path: str, body: dict[str, Any], kept_alive: str, failed: str
) -> None:
    async with client_of(await make_controller(Refusing())) as client:
        reply = await client.post(f"/v1/{path}", json={"model": "simulated", "stream": True} | body)
    assert reply.status_code == 200
    assert reply.text.startswith(kept_alive)
    assert failed in reply.text
    assert "too long for the engine" in reply.text
