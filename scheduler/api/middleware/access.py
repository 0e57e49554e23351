"""What every request must pass before anything of it is believed, in this order: the host it names,
its key, the size of its head, what its body says it is, and how large and how fast that comes.

A layer of ASGI inside `TraceMiddleware`, which answers what is raised here. It has no CORS: pages
of other origins get nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.admission.access import CALLER, AccessConfig, Caller
from scheduler.admission.limits import LimitsConfig
from scheduler.api.endpoint import Endpoint
from scheduler.api.keys import Keyring
from scheduler.api.live_page.files import DOCS_PATHS, PATHS
from scheduler.errors import (
    Forbidden,
    InvalidRequest,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UploadTimeout,
)

OPEN: Final = frozenset({"/health", "/ready", *PATHS, *DOCS_PATHS})
"""All that is answered without a key: what load balancers ask, and files that hold no data."""

MOST_PATH_BYTES: Final = 4096

UPLOAD: Final = "/v1/files"
"""Where a body may be a form, and as large as files may be."""


class AccessMiddleware:
    """`host` is what the server is bound to."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        endpoint: Endpoint,
        host: str,
    ) -> None:
        self._app, self._endpoint, self._host = app, endpoint, host
        self._keyring: Keyring | None = None
        self._held = 0
        self._rng = Random()

    @property
    def _access(self) -> AccessConfig:
        return self._endpoint.access

    @property
    def _limits(self) -> LimitsConfig:
        return self._endpoint.limits

    @property
    def _keys(self) -> Keyring | None:
        """The keys of the file that is named now."""
        path, usual = self._access.keys, self._limits.per_key
        if path is None:
            return None
        kept = self._keyring
        if kept is None or (kept.path, kept.usual) != (Path(path), usual):
            self._keyring = kept = Keyring(Path(path), usual)
        return kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        self._check_names(headers)
        caller = self._caller(scope, headers)
        self._check_head(scope, headers)
        token = CALLER.set(caller)
        try:
            async with self._body(scope["path"], headers, receive) as body:
                if body is not None:
                    reply = self._with_headers(caller, send)
                    await _until_gone(self._app, scope, body, receive, reply)
        finally:
            CALLER.reset(token)

    def _check_names(self, headers: Headers) -> None:
        """Against what pages of others make a browser do: DNS rebinding, forged requests."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._access.allows(host, self._host):
            why = f"the host {host!r} is not one of allowed_hosts"
            raise Forbidden(why, code="host_not_allowed")
        if origin is not None and not self._access.allows(_host_of(origin), self._host):
            why = f"pages of {origin!r} may not use this endpoint"
            raise Forbidden(why, code="origin_not_allowed")

    def _caller(self, scope: Scope, headers: Headers) -> Caller:
        """Decided on the path that routes are chosen by, not on the URL."""
        path = scope["path"]
        keys = self._keys
        if keys is None or path in OPEN:
            return Caller(limits=self._limits.per_key)
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            secret = headers.get("x-api-key", "")  # as Anthropic's clients send it
        caller = keys.find(secret.strip()) if secret.strip() else None
        if caller is None:
            raise Unauthenticated
        if not caller.may(path):
            why = f"this key is for {caller.role}: it may not use {path}"
            raise Forbidden(why, code="permission_denied")
        return caller

    def _check_head(self, scope: Scope, headers: Headers) -> None:
        if len(scope["path"]) + len(scope.get("query_string", b"")) > MOST_PATH_BYTES:
            raise TooLarge(f"the path is longer than {MOST_PATH_BYTES} bytes", status=414)
        most = self._limits.header_bytes
        if sum(len(name) + len(value) for name, value in headers.raw) > most:
            raise TooLarge(f"the headers are larger than {most} bytes", status=431)
        kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        is_json = kind == "application/json" or kind.endswith("+json")
        is_upload = scope["path"] == UPLOAD and kind == "multipart/form-data"
        if scope["method"] == "POST" and not (is_json or is_upload):
            why = f"the body must be application/json, got {kind!r}"
            raise InvalidRequest(why, field="content-type", code="invalid_json")

    @asynccontextmanager
    async def _body(
        self, path: str, headers: Headers, receive: Receive
    ) -> AsyncIterator[bytes | None]:
        """The body while it is held; None if the client has left before its end."""
        declared = headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdecimal()):
            why = f"content-length must be a number, got {declared!r}"
            raise InvalidRequest(why, field="content-length")
        limits, is_file = self._limits, path == UPLOAD
        most = limits.file_bytes if is_file else limits.body_bytes
        seconds = limits.file_seconds if is_file else limits.upload_seconds
        self._check_length(int(declared[:20]), most)
        body, is_whole = bytearray(), False
        try:
            async with asyncio.timeout(seconds):
                while not is_whole:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        break
                    piece = message.get("body", b"")
                    body += piece
                    self._held += len(piece)
                    self._check_length(len(body), most)
                    is_whole = not message.get("more_body", False)
            yield bytes(body) if is_whole else None
        except TimeoutError:
            if is_whole:
                raise
            raise UploadTimeout(seconds) from None
        finally:
            self._held -= len(body)

    def _check_length(self, length: int, most: int) -> None:
        if length > most:
            raise TooLarge(f"the body is larger than {most} bytes")
        if self._held > self._limits.held_bytes:
            why = f"bodies of more than {self._limits.held_bytes} bytes are held; try again"
            raise RateLimited(why, code="queue_full", retry_after=self._rng.randint(1, 5))

    def _with_headers(self, caller: Caller, send: Send) -> Send:
        """With the state of the key's quotas, where it has any."""

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": list(message.get("headers", ()))}
                MutableHeaders(scope=message).update(self._endpoint.first.admission.headers(caller))
            await send(message)

        return tell


async def _until_gone(
    app: ASGIApp, scope: Scope, body: bytes, receive: Receive, send: Send
) -> None:
    """Run the app on a body that is there; a client that leaves before the end cancels it.

    A server reports that only through `receive`, which an app that answers in one piece does
    not await.
    """
    unread, is_told = [body], False

    async def leaves() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def replay() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await asyncio.wait({gone})
        return {"type": "http.disconnect"}

    async def tell(message: Message) -> None:
        nonlocal is_told
        await send(message)
        is_told = message["type"] == "http.response.body" and not message.get("more_body", False)

    async def run() -> None:
        await app(scope, replay, tell)

    gone, running = asyncio.create_task(leaves()), asyncio.create_task(run())
    try:
        await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not is_told:
            running.cancel()
        await asyncio.wait({running})
    finally:
        running.cancel()
        gone.cancel()
        await asyncio.gather(running, gone, return_exceptions=True)
    if not running.cancelled():
        running.result()


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
