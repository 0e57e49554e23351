"""What the tests of the scheduler share: queries, gateways and HTTP on the simulated engine."""

import asyncio
from typing import Any

import httpx

from policies import build
from policies.base import Limits, Message, Query
from policies.price import Price
from scheduler.api.app import make_app
from scheduler.curves.wal import DurableCurveStore
from scheduler.solving.controller import Controller
from scheduler.solving.ledger import Ledger
from scheduler.solving.pricing import Pricing
from scheduler.solving.run import QueryRun
from tests.builders import changed
from workers.engine import Engine
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.thoughts import is_right
from workers.verifier.simulated import SimulatedVerifier

PRICE = 3e-4
CHAT = "/v1/chat/completions"


def make_query(question: str = "easy question", **fields: Any) -> Query:
    plain = Query(fields.pop("id", "q"), (Message("user", question),))
    return changed(plain, **fields)


def make_run(
    question: str = "easy question", *, limits: Limits | None = None, **fields: Any
) -> QueryRun:
    """A run on an account of its own; must be called where an event loop runs."""
    limits = limits or Limits()
    return QueryRun(
        query=make_query(question, limits=limits, **fields),
        account=Ledger().open(limits.max_total_tokens),
        room=4096,
        clock=asyncio.get_running_loop().time,
    )


async def make_controller(
    engine: Engine | None = None, *, policy: str = "fixed", **options: Any
) -> Controller:
    engine = engine or SimulatedEngine()
    return Controller(
        engine=engine,
        info=await engine.info(),
        policy=build(policy, **options),
        curves=DurableCurveStore(),
        pricing=Pricing(Price(PRICE)),
        verifier=SimulatedVerifier(is_right),
    )


def client_of(controller: Controller, **options: Any) -> httpx.AsyncClient:
    """Failures inside the app come back as the 500 that a client would see."""
    app = make_app(controller, **options)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def chat(question: str = "easy question", **fields: Any) -> dict[str, Any]:
    """The body of a chat request."""
    messages = [{"role": "user", "content": question}]
    return {"model": "simulated", "messages": messages} | fields


def post(
    content: object,
    *,
    engine: Engine | None = None,
    policy: str = "fixed",
    **options: Any,
) -> httpx.Response:
    """The reply of a fresh server to one chat request; bytes are sent as they are."""

    async def main() -> httpx.Response:
        async with client_of(await make_controller(engine, policy=policy, **options)) as client:
            if isinstance(content, bytes):
                return await client.post(CHAT, content=content)
            return await client.post(CHAT, json=content)

    return run_virtual(main())
