"""The calls that run on one replica: each runs a request on the engine and posts its events."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from scheduler.engines.multiplex_server import MultiplexServer
from scheduler.engines.pool import Taken
from workers.engine import Engine, EngineEvent, SampleRequest


class ReplicaCalls:
    """Runs requests on one engine, as the replica of this name, for any number of gateways."""

    def __init__(self, engine: Engine, replica: str) -> None:
        self._engine, self._replica = engine, replica
        self._servers: dict[str, MultiplexServer] = {}
        self._draining = False
        self._running: dict[asyncio.Task[None], tuple[MultiplexServer, int]] = {}

    def server(self, gateway: str) -> MultiplexServer:
        """The stream to this gateway; streams that nobody uses any more are dropped."""
        if gateway not in self._servers:
            used = {name: one for name, one in self._servers.items() if not one.is_unused}
            self._servers = used | {gateway: MultiplexServer(self._replica)}
        return self._servers[gateway]

    async def run(
        self,
        request: SampleRequest,
        gateway: str,
        call: int,
        on_event: Callable[[EngineEvent], None] | None = None,
    ) -> AsyncGenerator[Taken]:
        """Yields once, when the engine has taken the request, and ends with the call.

        Closing it ends the call: the chains that run are dropped. Raises Refused.
        """
        server = self.server(gateway)
        if self._draining:
            server.leave(call)
            yield Taken(self._replica)
            return
        taken = asyncio.get_running_loop().create_future()
        server.open(call)  # at once: a server without calls may be dropped
        task = asyncio.create_task(self._collect(request, server, call, taken, on_event))
        task.add_done_callback(lambda _task: server.close(call))
        self._running[task] = server, call
        try:
            await asyncio.wait([task, taken], return_when=asyncio.FIRST_COMPLETED)
            if task.done() and not task.cancelled():  # `drain` cancels it
                task.result()
            yield Taken(self._replica)
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
        finally:
            del self._running[task]
            task.cancel()
            await asyncio.wait([task])

    async def _collect(
        self,
        request: SampleRequest,
        server: MultiplexServer,
        call: int,
        taken: "asyncio.Future[None]",
        on_event: Callable[[EngineEvent], None] | None,
    ) -> None:
        async with aclosing(self._engine.sample(request)) as events:
            async for event in events:
                if not taken.done():
                    taken.set_result(None)
                server.post(call, event)
                if on_event:
                    on_event(event)

    def drain(self) -> None:
        """End every call now, with a batch that says that the replica is leaving.

        A call that comes later, from a gateway that does not know yet, ends in the same way.
        """
        self._draining = True
        for task, (server, call) in self._running.items():
            server.leave(call)
            task.cancel()
