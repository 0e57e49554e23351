"""Bad requests by the thousand: no 5xx, no response over 2 kB, flat memory.

One in ten is made by Schemathesis from the OpenAPI document, so that it is almost right; the others
by Hypothesis: right bodies with one part replaced by any JSON, and any bytes. They go to the whole
application in this process; its engine is simulated, on a virtual clock.

    python -m benchmarks.fuzz [--requests 30000] [--quick]
"""

import asyncio
import gc
import json
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import click
import httpx
import psutil
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.goals import at_least, at_most, report
from policies import build
from policies.price import DEFAULT_PRICE, Price
from scheduler.api.app import make_app
from scheduler.curves.wal import DurableCurveStore
from scheduler.progress import Progress, progress
from scheduler.solving.controller import Controller
from scheduler.solving.pricing import Pricing
from workers.simulated.clock import VirtualTimeLoop
from workers.simulated.engine import SimulatedEngine

MAX_BYTES = 2048
KEPT = 2000
TURN = {"role": "user", "content": "easy question"}
CHAT = {
    "model": "simulated",
    "messages": [TURN],
    "temperature": 0.5,
    "n": 1,
    "stop": ["x"],
    "reasoning": {"effort": "low"},
    "thinkbudget": {"policy": "fixed", "max_thinking_tokens": 5, "deadline_seconds": 1.0},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "metadata": {"a": "b"},
}
RIGHT: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "simulated", "prompt": "a", "max_tokens": 3, "logprobs": 1},
    "/v1/responses": {"model": "simulated", "input": [TURN], "reasoning": {"effort": "low"}},
    "/v1/feedback": {"outcome_id": "0", "reward": 1},
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", "\ud800", "NaN", "-1", 10**30, -1, 0, 1e308, [[]], {"": {}}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
Send = Callable[[str, bytes], None]


class Found:
    """What came back. `faults` keeps the first few that were not treated as they should be."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.faults: list[str] = []
        self.failed = self.long = self.longest = 0

    @property
    def bad(self) -> int:
        return sum(count for status, count in self.statuses.items() if 400 <= status < 500)

    def note(self, asked: str, response: httpx.Response) -> None:
        self.statuses[response.status_code] += 1
        if response.status_code < 400:
            return
        self.longest = max(self.longest, len(response.content))
        error = response.json().get("error") or {} if response.status_code < 500 else {}
        self.failed += response.status_code >= 500 or not isinstance(error.get("message"), str)
        self.long += len(response.content) > MAX_BYTES
        if self.failed + self.long > len(self.faults) and len(self.faults) < 20:
            self.faults.append(f"{response.status_code} for {asked[:500]}: {response.text[:200]}")


async def made() -> FastAPI:
    engine = SimulatedEngine()
    controller = Controller(
        engine=engine,
        info=await engine.info(),
        policy=build("fixed"),
        curves=DurableCurveStore(),
        pricing=Pricing(Price(DEFAULT_PRICE)),
    )
    return make_app(controller)


def by_schema(app: Any, count: int, send: Send) -> None:
    """`count` almost right requests to every route that takes a body."""
    schema = schemathesis.openapi.from_dict(app.openapi())
    wrong = schemathesis.GenerationMode.NEGATIVE
    for path in RIGHT:
        cases = schema[path]["POST"].as_strategy(generation_mode=wrong)
        bodies = cases.map(lambda case: case.body)
        _many(bodies.map(_text), count, partial(send, path))


def by_hand(count: int, send: Send) -> None:
    """Right bodies with one part replaced, and any bytes."""
    for path, right in RIGHT.items():
        bodies = damaged(right).map(_text) | st.binary(max_size=200)
        _many(bodies, count, partial(send, path))


@st.composite
def damaged(draw: st.DrawFn, right: dict[str, Any]) -> dict[str, Any]:
    """A right body with one part of it replaced by any JSON."""
    body: dict[str, Any] = json.loads(json.dumps(right))
    place: Any = body
    while True:
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not (isinstance(place[key], dict | list) and place[key] and draw(st.booleans())):
            place[key] = draw(VALUES)
            return body
        place = place[key]


def _many(bodies: st.SearchStrategy[bytes], count: int, ask: Callable[[bytes], None]) -> None:
    @settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(bodies)
    def each(body: bytes) -> None:
        ask(body)

    each()


def _text(body: object) -> bytes:
    """JSON as a careless client writes it: with NaN, and with half of a surrogate pair."""
    try:
        return body if isinstance(body, bytes) else json.dumps(body).encode()
    except TypeError:  # what Schemathesis makes for "no body"
        return b""


def run(requests: int, bar: Progress | None = None) -> tuple[Found, float]:
    """What was found, and by how many MB memory grew by asking again."""
    found, kept = Found(), list[tuple[str, bytes]]()
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        app = runner.run(made())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost")

        def ask(path: str, body: bytes) -> None:
            headers = {"content-type": "application/json"}
            response = runner.run(client.post(path, headers=headers, content=body))
            found.note(f"{path} {body!r}", response)

        def send(path: str, body: bytes) -> None:
            ask(path, body)
            if bar:
                bar.advance(str(dict(found.statuses)))
            if len(kept) < KEPT:
                kept.append((path, body))

        part = max(1, requests // (10 * len(RIGHT)))
        by_schema(app, part, send)
        by_hand(9 * part, send)
        # What makes the requests keeps memory of its own: so the server's is seen by sending the
        # same ones again and again.
        sizes = []
        for _ in range(4):
            for path, body in kept:
                ask(path, body)
            gc.collect()
            sizes.append(psutil.Process().memory_info().rss / 2**20)
        runner.run(client.aclose())
    return found, sizes[3] - sizes[1]


@click.command()
@click.option("--requests", type=int, default=30_000, show_default=True)
@click.option("--quick", is_flag=True, help="2,000 requests.")
def main(requests: int, quick: bool) -> None:
    requests = 2000 if quick else requests
    with progress("fuzz", requests) as bar:
        found, grown = run(requests, bar)
    for fault in found.faults:
        click.echo(fault)
    click.echo(f"{dict(found.statuses)}, longest error {found.longest} bytes")
    wanted = 200 if quick else 20_000
    goals = {
        "bad requests": at_least(found.bad, wanted),
        "5xx, or no error object": at_most(found.failed, 0),
        "errors over 2 kB": at_most(found.long, 0),
        "memory growth, MB": at_most(grown, 5),
    }
    report(goals)


if __name__ == "__main__":
    main()
