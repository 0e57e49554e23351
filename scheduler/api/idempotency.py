"""`Idempotency-Key`: a request that is sent again gets the reply of the first one, run once.

A layer of ASGI: what the app sends is recorded once and sent to all who ask with the same key and
body, from the beginning and then as it comes. An execution that nobody waits for any more is given
some time for its caller to come again. Only replies without an error are kept: what failed may be
tried anew. The store is this process's own.
"""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.access import CALLER
from scheduler.api.tracing import INFERENCE
from scheduler.errors import InvalidRequest, KeyReused
from scheduler.trace import TRACE, Trace

HEADER: Final = "Idempotency-Key"
KEPT_SECONDS: Final = 3600.0
ORPHAN_SECONDS: Final = 30.0
MAX_KEPT: Final = 1000
MAX_KEPT_BYTES: Final = 64 << 20
"""Of one tenant."""

_VALID_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(slots=True)
class Execution:
    """One run of the app and all that it has sent; `failure` is what it raised."""

    fingerprint: bytes
    trace: Trace
    messages: list[Message] = field(default_factory=list)
    bytes_sent: int = 0
    ended_at: float | None = None
    failure: Exception | None = None
    waiting: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None
    _orphaned: asyncio.TimerHandle | None = None

    @property
    def is_good(self) -> bool:
        return self.failure is None and self.trace.outcome == "ok"

    def start(self, app: ASGIApp, scope: Scope, body: bytes, ended: Callable[[], None]) -> None:
        self._task = asyncio.create_task(self._run(app, scope, body))
        self._task.add_done_callback(lambda _: ended())

    async def replay(self, send: Send) -> None:
        """Everything from the beginning, then what comes, until the end."""
        self.waiting += 1
        if self._orphaned is not None:
            self._orphaned.cancel()
        try:
            sent = 0
            while True:
                while sent < len(self.messages):
                    await send(self.messages[sent])
                    sent += 1
                if self.ended_at is not None:
                    break
                await self._news.wait()
            if self.failure is not None:
                raise self.failure
        finally:
            self.waiting -= 1
            if not self.waiting and self._task is not None and self.ended_at is None:
                loop = asyncio.get_running_loop()
                self._orphaned = loop.call_later(ORPHAN_SECONDS, self._task.cancel)

    async def _run(self, app: ASGIApp, scope: Scope, body: bytes) -> None:
        TRACE.set(self.trace)
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            """The body; nobody hears of a disconnect, as others may still wait."""
            if not unread:
                await asyncio.Future[None]()
            return unread.pop()

        async def record(message: Message) -> None:
            self.bytes_sent += len(message.get("body", b""))
            self.messages.append(message)
            self._tell()

        try:
            await app(scope, receive, record)
        except Exception as error:
            self.failure = error
        except asyncio.CancelledError:
            self.trace.outcome = "disconnected"
            raise
        finally:
            self.ended_at = asyncio.get_running_loop().time()
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Name(NamedTuple):
    """Keys of one tenant say nothing of another's."""

    tenant: str
    path: str
    key: str


class Idempotency:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._known: dict[str, OrderedDict[Name, Execution]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        keys = Headers(scope=scope).getlist(HEADER) if scope["type"] == "http" else []
        if not keys or scope["method"] != "POST" or scope["path"] not in INFERENCE:
            await self._app(scope, receive, send)
            return
        if len(keys) > 1 or not _VALID_KEY.fullmatch(keys[0]):
            message = f"{HEADER} must be 1 to 255 visible ASCII characters, got {keys[0][:80]!r}"
            raise InvalidRequest(message, field=HEADER)
        name = Name(CALLER.get().name, scope["path"], keys[0])
        body = await _read(receive)
        known = self._of(name.tenant)
        execution, fingerprint = known.get(name), hashlib.sha256(body).digest()
        trace = TRACE.get()
        if execution is None:
            execution = known[name] = Execution(fingerprint, Trace(trace.request_id))
            execution.start(self._app, dict(scope), body, lambda: self._ended(name))
        elif execution.fingerprint != fingerprint:
            raise KeyReused(name.key)
        else:
            trace.replayed = True
        try:
            await execution.replay(send)
        finally:
            trace.adopt(execution.trace)

    def _of(self, tenant: str) -> OrderedDict[Name, Execution]:
        """What is known of a tenant, without what is too old by now."""
        known = self._known.setdefault(tenant, OrderedDict())
        old = asyncio.get_running_loop().time() - KEPT_SECONDS
        # Oldest first, as executions move to the end when they are over.
        for name in list(known):
            ended_at = known[name].ended_at
            if ended_at is not None:
                if ended_at > old:
                    break
                del known[name]
        return known

    def _ended(self, name: Name) -> None:
        known = self._known[name.tenant]
        execution = known.pop(name)
        if not execution.is_good:
            return
        known[name] = execution
        ended = [name for name, one in known.items() if one.ended_at is not None]
        size = sum(known[name].bytes_sent for name in ended)
        for place, name in enumerate(ended):
            if len(ended) - place <= MAX_KEPT and size <= MAX_KEPT_BYTES:
                break
            size -= known.pop(name).bytes_sent


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidRequest("the body ended too soon", field=None, code="invalid_json")
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)
