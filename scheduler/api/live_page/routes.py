"""Routes of the live page: its files, and the one snapshot that all open pages share."""

import asyncio
import gzip
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from scheduler.admission.access import PAGE_STATE
from scheduler.api.endpoint import Endpoint
from scheduler.api.live_page.files import HEADERS, PATHS, ROOT, page_file
from scheduler.api.live_page.snapshot import Snapshots
from scheduler.solving.activity import Activity
from scheduler.solving.controller import Controller

POLL_SECONDS: Final = 2.0
MAX_POLLS: Final = 10.0
"""Polls a second of all pages together: with more pages each of them polls less often."""
_RATE_SECONDS: Final = 5.0
_GZIP_LEVEL: Final = 5


def routes(endpoint: Endpoint) -> list[Route]:
    """`/ui/` and its files, and `/ui/state`; from now on the controllers keep their activity."""
    states: dict[str, tuple[Controller, SharedState]] = {}

    def shared(controller: Controller) -> SharedState:
        """That of a model; one that was taken away and came back has another."""
        model = controller.info.model
        if model not in states or states[model][0] is not controller:
            controller.activity = controller.activity or Activity()
            snapshots = Snapshots(controller, controller.activity, models=endpoint.labels)
            states[model] = controller, SharedState(snapshots.take)
        return states[model][1]

    for controller in endpoint.models.values():
        shared(controller)

    async def file(request: Request) -> Response:
        path = request.scope["path"]
        if path == ROOT:
            return RedirectResponse("ui/", status_code=307)
        return file_reply(request, PATHS[path])

    async def state(request: Request) -> Response:
        name = request.query_params.get("model")
        body = await shared(endpoint.named(name) if name else endpoint.first).get()
        headers = {"cache-control": "no-store", "vary": "accept-encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
        else:
            body = gzip.decompress(body)
        return Response(body, headers=headers, media_type="application/json")

    return [*(Route(path, file) for path in PATHS), Route(PAGE_STATE, state)]


def file_reply(request: Request, name: str) -> Response:
    """A file of a page, or that the browser has it."""
    found = page_file(name)
    headers = HEADERS | {"etag": found.etag}
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type=found.media_type)


class SharedState:
    """One snapshot for all pages, taken anew when it is half a poll old and somebody asks.

    The cost is bounded whatever the number of pages: at most MAX_POLLS replies a second, once they
    have been told to.
    """

    def __init__(
        self,
        take: Callable[[], Awaitable[dict[str, Any]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take, self._clock = take, clock
        self._packed, self._until = b"", 0.0
        self._taking = asyncio.Lock()
        self._polls = 0
        self._since = clock()
        self.poll_seconds = POLL_SECONDS

    async def get(self) -> bytes:
        """JSON, as gzip. It tells each page in how many seconds to come again."""
        self._polls += 1
        if self._clock() >= self._until:
            async with self._taking:
                if self._clock() >= self._until:
                    self._pace()
                    snapshot = await self._take() | {"poll_seconds": self.poll_seconds}
                    text = json.dumps(snapshot, separators=(",", ":"))
                    self._packed = gzip.compress(text.encode(), _GZIP_LEVEL)
                    self._until = self._clock() + self.poll_seconds / 2
        return self._packed

    def _pace(self) -> None:
        """So many pages as poll now, each so seldom that together they keep below MAX_POLLS."""
        passed = self._clock() - self._since
        if passed >= max(_RATE_SECONDS, self.poll_seconds):
            pages = self._polls / passed * self.poll_seconds
            self.poll_seconds = round(max(POLL_SECONDS, pages / MAX_POLLS), 1)
            self._polls, self._since = 0, self._clock()
