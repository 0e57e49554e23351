"""The outermost layer of HTTP: every request has an id, one line in the log, and is counted."""

import json
import logging
import re
import uuid
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.api.anthropic.messages import PATH as MESSAGES
from scheduler.api.anthropic.messages import error_of
from scheduler.errors import RequestError
from scheduler.solving.metrics import Metrics
from scheduler.solving.trace import TRACE, Trace

log = logging.getLogger("thinkbudget")
requests_log = logging.getLogger("thinkbudget.requests")

REQUEST_ID: Final = "x-request-id"
INFERENCE: Final = ("/v1/chat/completions", "/v1/responses", "/v1/completions", MESSAGES)
_VALID_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)


class TraceMiddleware:
    """A caller's request id is kept when it is a plain one, and made otherwise.

    Inner layers may raise a RequestError: it is answered here. What fails in a way that nobody
    foresaw is answered as an internal error without details. A reply that has begun is torn off
    instead: it must not look whole. `metrics` are those of a model, by its name. `sends_id` is
    False behind a proxy that puts the id on replies itself.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: Callable[[str], Metrics], sends_id: bool = True
    ) -> None:
        self._app, self._metrics, self._sends_id = app, metrics, sends_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = Trace(request_id_of(scope), parent=parent_of(scope))
        status, is_whole = 0, False

        async def tell(message: Message) -> None:
            nonlocal status, is_whole
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._sends_id:
                    # A reply that is kept goes to others too: their ids are their own.
                    message = {**message, "headers": list(message.get("headers", ()))}
                    MutableHeaders(scope=message)[REQUEST_ID] = trace.request_id
            is_last = not message.get("more_body", False)
            await send(message)
            is_whole = message["type"] == "http.response.body" and is_last

        token = TRACE.set(trace)
        try:
            await self._app(scope, receive, tell)
        except RequestError as error:
            trace.outcome = error.code
            if status:
                raise
            await refusal(error, scope["path"])(scope, receive, tell)
        except Exception as error:
            log.exception("request %s failed", trace.request_id, exc_info=error)
            trace.outcome = "internal_error"
            if status:
                raise
            hidden = RequestError("internal error", code="internal_error")
            await refusal(hidden, scope["path"])(scope, receive, tell)
        finally:
            TRACE.reset(token)
            if trace.outcome == "ok" and not is_whole:
                trace.outcome = "disconnected"
            elif trace.outcome == "ok" and status >= 400:
                trace.outcome = "refused"
            self._end(scope, trace, status)

    def _end(self, scope: Scope, trace: Trace, status: int) -> None:
        method, path = scope["method"], scope["path"]
        line = {"method": method, "path": path[:200], "status": status}
        requests_log.info("%s", json.dumps(line | trace.as_dict()))
        if method == "POST" and path in INFERENCE:
            self._metrics(trace.model).ended(trace)


def refusal(error: RequestError, path: str) -> JSONResponse:
    """In the shape that clients of a path know."""
    is_anthropic = path == MESSAGES or path.startswith(f"{MESSAGES}/")
    body = error_of(error) if is_anthropic else error.as_dict()
    return JSONResponse(body, error.status, error.headers)


def request_id_of(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _VALID_ID.fullmatch(given) else uuid.uuid4().hex


def parent_of(scope: Scope) -> dict[str, str]:
    """The headers of W3C's trace context, as far as they came."""
    headers = Headers(scope=scope)
    return {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
