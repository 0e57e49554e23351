"""`Idempotency-Key`: a request that is sent again gets the reply of the first one, run once.

A layer of ASGI: what the app sends is recorded once and sent to all who ask with the same key and
body, from the beginning and then as it comes. Where gateways share their claims, one that runs
at another is waited for, and its reply comes when it is whole. An execution that nobody waits for
any more is given some time for its caller to come again. Only replies without an error are kept:
what failed may be tried anew. While the claims cannot be reached, each gateway has its own.
"""

import asyncio
import hashlib
import logging
import re
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.admission.access import CALLER
from scheduler.api.middleware.claims import (
    LEASE_SECONDS,
    IdempotencyName,
    ResponseCache,
    SharedClaims,
    StoredResponse,
)
from scheduler.api.middleware.trace import INFERENCE
from scheduler.errors import InvalidRequest, KeyReused
from scheduler.solving.trace import TRACE, Trace

log = logging.getLogger("thinkbudget")

HEADER: Final = "Idempotency-Key"
ORPHAN_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.25
RENEW_SECONDS: Final = 4.0
SETTLE_TRIES: Final = 4
AWAY_SECONDS: Final = 5.0
"""So long nobody asks claims that could not be reached."""

_VALID_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(slots=True)
class Execution:
    """One run of the app and all that it has sent; `failure` is what it raised.

    `is_held` while it runs here, and `is_copy` when it ran at another controller.
    """

    fingerprint: bytes
    trace: Trace
    messages: list[Message] = field(default_factory=list)
    failure: Exception | None = None
    waiting: int = 0
    is_over: bool = False
    is_held: bool = False
    is_copy: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None
    _orphaned: asyncio.TimerHandle | None = None

    @property
    def is_good(self) -> bool:
        return self.failure is None and self.trace.outcome == "ok"

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(work)

    async def replay(self, send: Send) -> None:
        """Everything from the beginning, then what comes, until the end."""
        self.waiting += 1
        self._forget_timer()
        try:
            sent = 0
            while True:
                while sent < len(self.messages):
                    await send(self.messages[sent])
                    sent += 1
                if self.is_over:
                    break
                await self._news.wait()
            if self.failure is not None:
                raise self.failure
        finally:
            self.waiting -= 1
            self.await_callers()

    def await_callers(self) -> None:
        """When nobody waits: give them time from now on, then end."""
        self._forget_timer()
        if not self.waiting and self._task is not None and not self.is_over:
            loop = asyncio.get_running_loop()
            self._orphaned = loop.call_later(ORPHAN_SECONDS, self._task.cancel)

    async def run(self, app: ASGIApp, scope: Scope, body: bytes) -> None:
        TRACE.set(self.trace)
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            """The body; nobody hears of a disconnect, as others may still wait."""
            if not unread:
                await asyncio.Future[None]()
            return unread.pop()

        async def record(message: Message) -> None:
            self.messages.append(message)
            self._tell()

        await app(scope, receive, record)

    def copy(self, reply: StoredResponse) -> None:
        self.is_copy = True
        self.trace.adopt(reply.trace)
        self.messages = _messages(reply)

    def end(self) -> None:
        self.is_over = True
        self.is_held = False
        self._forget_timer()
        self._tell()

    def reply(self) -> StoredResponse:
        start, *pieces = self.messages
        body = b"".join(piece.get("body", b"") for piece in pieces)
        return StoredResponse(
            self.fingerprint, start["status"], start.get("headers", ()), body, self.trace
        )

    def _forget_timer(self) -> None:
        if self._orphaned is not None:
            self._orphaned.cancel()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class IdempotencyMiddleware:
    """`claims` are those that gateways share; without them it is the only one."""

    def __init__(self, app: ASGIApp, claims: SharedClaims | None = None) -> None:
        self._app, self._claims = app, claims
        self._owner = uuid.uuid4().hex
        self._running: dict[IdempotencyName, Execution] = {}
        self._replies = ResponseCache(lambda: asyncio.get_running_loop().time())
        self._renewing: asyncio.Task[None] | None = None
        self._away_until: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        keys = Headers(scope=scope).getlist(HEADER) if scope["type"] == "http" else []
        if not keys or scope["method"] != "POST" or scope["path"] not in INFERENCE:
            await self._app(scope, receive, send)
            return
        if len(keys) > 1 or not _VALID_KEY.fullmatch(keys[0]):
            why = f"{HEADER} must be 1 to 255 visible ASCII characters, got {keys[0][:80]!r}"
            raise InvalidRequest(why, field=HEADER)
        name = IdempotencyName(CALLER.get().name, scope["path"], keys[0])
        body = await _read(receive)
        fingerprint = hashlib.sha256(body).digest()
        trace = TRACE.get()
        reply, execution = self._replies.find(name), self._running.get(name)
        known = reply or execution
        if known is not None and known.fingerprint != fingerprint:
            raise KeyReused(name.key)
        trace.replayed = known is not None
        if reply is not None:
            trace.adopt(reply.trace)
            for message in _messages(reply):
                await send(message)
            return
        if execution is None:
            execution = self._running[name] = Execution(fingerprint, Trace(trace.request_id))
            execution.start(self._execute(name, execution, dict(scope), body))
        try:
            await execution.replay(send)
        finally:
            trace.replayed |= execution.is_copy
            trace.adopt(execution.trace)

    async def _execute(
        self, name: IdempotencyName, execution: Execution, scope: Scope, body: bytes
    ) -> None:
        """Run it, unless another gateway does or did."""
        try:
            reply = await self._from_elsewhere(name, execution.fingerprint)
            if reply is not None:
                execution.copy(reply)
            else:
                execution.is_held = True
                self._keep_renewing()
                await execution.run(self._app, scope, body)
        except Exception as error:
            execution.failure = error
        except asyncio.CancelledError:
            execution.trace.outcome = "disconnected"
            raise
        finally:
            was_held, kept = execution.is_held, None
            if was_held and execution.is_good:
                kept = execution.reply()
                self._replies.keep(name, kept)
            execution.end()
            del self._running[name]
            if was_held and self._claims is not None:
                await self._settle(self._claims, name, kept)

    async def _from_elsewhere(
        self, name: IdempotencyName, fingerprint: bytes
    ) -> StoredResponse | None:
        """The reply of another gateway; None if it is to be run here. Raises KeyReused."""
        if self._claims is None:
            return None
        now = asyncio.get_running_loop().time
        runs_until, waits = now(), False
        while True:
            if self._away_until is None or now() >= self._away_until:
                try:
                    found = await self._claims.claim(name, fingerprint, self._owner, waits)
                except ConnectionError as error:
                    self._note_away(error)
                else:
                    self._away_until = None
                    if found.state == "other_body":
                        raise KeyReused(name.key)
                    if found.state != "running":
                        return found.reply
                    runs_until, waits = now() + LEASE_SECONDS, True
            if now() >= runs_until:
                return None
            await asyncio.sleep(POLL_SECONDS)

    async def _settle(
        self, claims: SharedClaims, name: IdempotencyName, reply: StoredResponse | None
    ) -> None:
        """Others may wait for this, so it is sent to claims again when they are back."""
        for _ in range(SETTLE_TRIES):
            try:
                if reply is not None:
                    await claims.finish(name, self._owner, reply)
                else:
                    await claims.release(name, self._owner)
                return
            except ConnectionError as error:
                self._note_away(error)
            await asyncio.sleep(RENEW_SECONDS)

    def _keep_renewing(self) -> None:
        if self._claims is not None and (self._renewing is None or self._renewing.done()):
            self._renewing = asyncio.create_task(self._renew(self._claims))

    async def _renew(self, claims: SharedClaims) -> None:
        """As long as something runs here. What is waited for elsewhere has no callers here."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            held = {name: one.fingerprint for name, one in self._running.items() if one.is_held}
            if not held:
                return
            try:
                wanted = await claims.renew(self._owner, held)
            except ConnectionError as error:
                self._note_away(error)
                continue
            for name in wanted:
                if (execution := self._running.get(name)) is not None:
                    execution.await_callers()

    def _note_away(self, error: ConnectionError) -> None:
        if self._away_until is None:
            log.warning("%s; until it is back, %s is heeded here only", error, HEADER)
        self._away_until = asyncio.get_running_loop().time() + AWAY_SECONDS


def _messages(reply: StoredResponse) -> list[Message]:
    start = {"type": "http.response.start", "status": reply.status, "headers": reply.headers}
    return [start, {"type": "http.response.body", "body": reply.body, "more_body": False}]


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidRequest("the body ended too soon", field=None, code="invalid_json")
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)
