"""A server with the live page on simulated engines, in this process.

`python -m benchmarks.serving.live_server PORT` serves it under load until it is interrupted.
"""

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

import uvicorn

from policies import build
from policies.base import Message, Query
from policies.price import Price
from scheduler.admission.access import CALLER, AccessConfig, Caller
from scheduler.admission.admission import Admission
from scheduler.admission.limits import KeyLimits, LimitsConfig
from scheduler.api.app import IN_PROCESS, make_app
from scheduler.curves.wal import DurableCurveStore
from scheduler.engines.failover import FailoverEngine
from scheduler.engines.local_pool import LocalEnginePool
from scheduler.errors import RequestError
from scheduler.solving.controller import Controller
from scheduler.solving.pricing import Pricing
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import LAWS, reference

ENGINES = ("engine-a", "engine-b", "engine-c")
TENANTS = ("alice", "bob", "nightly-batch")


class LiveServer:
    """Serves in a thread with a loop of its own; `port` 0 takes a free one. `url` is set then."""

    url: str

    def __init__(self, *, port: int = 0, access: AccessConfig = IN_PROCESS) -> None:
        self._port, self._access = port, access
        self._ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    @contextmanager
    def running(self) -> Iterator["LiveServer"]:
        self.thread.start()
        assert self._ready.wait(60), "the server has not started"
        try:
            yield self
        finally:
            self._server.should_exit = True
            self.thread.join()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        pool = LocalEnginePool(
            lambda name: SimulatedEngine(replica=name, slots=16, tokens_per_second=400.0), ENGINES
        )
        self.pool, engine = pool, FailoverEngine(pool)
        limits = LimitsConfig(max_running=24, max_queue=20)
        self.controller = Controller(
            engine=engine,
            info=await engine.info(),
            policy=build("priced"),
            curves=DurableCurveStore(),
            pricing=Pricing(Price.for_tokens(320.0, 3e-4), load_weight=0.5),
            admission=Admission(limits, slots=48),
        )
        app = make_app(self.controller, access=self._access, limits=limits)
        settings = uvicorn.Config(app, port=self._port, log_level="warning", lifespan="off")
        self._server = uvicorn.Server(settings)
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.02)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._ready.set()
        await serving

    def ask(self, count: int, *, labelled: bool = True, at_once: int = 30) -> None:
        """Have so many questions of all classes answered; a refusal is what it is."""
        asked = self._ask(count, labelled, at_once)
        asyncio.run_coroutine_threadsafe(asked, self.loop).result()

    async def _ask(self, count: int, labelled: bool, at_once: int) -> None:
        room, rng = asyncio.Semaphore(at_once), Random(count)

        async def one(number: int) -> None:
            name = rng.choice([*LAWS])
            text = f"{name} question {number}"
            truth = reference(text) if labelled and rng.random() < 0.4 else None
            query = Query(f"load-{number}", (Message("user", text),), name, reference=truth)
            tenant = rng.choices(TENANTS, (6, 3, 1))[0]
            async with room:
                limits = KeyLimits(requests_per_minute=600 if tenant != "bob" else 120)
                CALLER.set(Caller(tenant, limits=limits))
                with suppress(RequestError):
                    await self.controller.answer(query)

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(one(number))

    def kill(self, name: str) -> None:
        self.loop.call_soon_threadsafe(self.pool.kill, name)


def main() -> None:
    with LiveServer(port=int(sys.argv[1])).running() as server:
        print(server.url, flush=True)
        with suppress(KeyboardInterrupt):
            for turn in range(10_000):
                server.ask(300, at_once=16)
                if turn == 1:
                    server.kill("engine-c")


if __name__ == "__main__":
    main()
