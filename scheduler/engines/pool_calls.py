"""Calls from one gateway to the replicas: a call is taken by one, whose stream carries its
events.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from uuid import uuid4

from scheduler.engines.multiplex_client import CallQueues, MultiplexedStream, Open
from scheduler.engines.pool import EventBatch

# Sends a call under a number; gives the replica's name while the call is held open.
Send = Callable[[int], AbstractAsyncContextManager[str]]


class PoolCalls:
    """`open_stream(replica)` opens the stream from a replica to this gateway."""

    def __init__(self, open_stream: Callable[[str], Open]) -> None:
        #: The name under which replicas know this gateway.
        self.gateway = uuid4().hex
        self._open_stream = open_stream
        self._numbers = itertools.count()
        self._queues: CallQueues = {}
        self._streams: dict[str, MultiplexedStream] = {}

    async def run(self, send: Send) -> AsyncGenerator[EventBatch]:
        """An empty batch as soon as a replica has taken the call, then all that it sends.

        Closing it ends the call over there. Raises what `send` raises, and EngineDied.
        """
        number = next(self._numbers)
        queue = self._queues[number] = asyncio.Queue[EventBatch | Exception | None]()
        try:
            async with send(number) as replica:
                with self._stream(replica).register(number):
                    yield EventBatch(replica)
                    while (batch := await queue.get()) is not None:
                        if isinstance(batch, Exception):
                            raise batch
                        yield batch
        finally:
            del self._queues[number]

    def _stream(self, replica: str) -> MultiplexedStream:
        stream = self._streams.get(replica)
        if stream is None or stream.is_over:
            stream = MultiplexedStream(self._open_stream(replica), self._queues)
            self._streams[replica] = stream
            self._streams = {name: one for name, one in self._streams.items() if not one.is_over}
        return stream
