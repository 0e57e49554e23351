"""The HTTP face: OpenAI's endpoints round a controller. Runs under Ray Serve, or without it."""

import json
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from scheduler.api import chat
from scheduler.api.protocol import MAX_BODY_BYTES
from scheduler.controller import Controller
from scheduler.errors import InvalidRequest, RequestError, TooLarge

log = logging.getLogger("thinkbudget")


def make_app(controller: Controller) -> FastAPI:
    app = FastAPI(title="thinkbudget", docs_url=None, redoc_url=None)

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> Response:
        return _refusal(error)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        log.exception("%s failed", request.url.path, exc_info=error)
        return _refusal(RequestError("internal error", code="internal_error"))

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def unknown(request: Request, _: Exception) -> Response:
        error = RequestError(f"there is no {request.method} {request.url.path}", code="not_found")
        return JSONResponse(error.as_dict(), 404)

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        job = chat.prepare(controller, await _body(request))
        if not job.request.stream:
            return JSONResponse(await chat.answer(controller, job))
        events = chat.stream(controller, job)
        first = await anext(events)  # a refusal is raised here, before any header is sent

        async def body() -> AsyncIterator[str]:
            yield first
            async for event in events:
                yield event

        return StreamingResponse(body(), media_type="text/event-stream")

    @app.get("/v1/models")
    async def models() -> Response:
        model = {
            "id": controller.info.model,
            "object": "model",
            "created": 0,
            "owned_by": "thinkbudget",
            "max_model_len": controller.info.max_model_len,
        }
        return JSONResponse({"object": "list", "data": [model]})

    @app.get("/v1/thinkbudget/curves")
    async def curves() -> Response:
        return JSONResponse(await controller.book.export())

    @app.get("/health")
    async def health() -> Response:
        try:
            await controller.engine.check()
        except Exception as error:
            log.warning("the engine is not healthy: %s", error)
            return JSONResponse({"status": "unhealthy"}, 503, {"Retry-After": "5"})
        return JSONResponse({"status": "ok"})

    return app


def _refusal(error: RequestError) -> Response:
    # A client's own retries would pay for the same deadline again.
    headers = {503: {"Retry-After": "5"}, 504: {"x-should-retry": "false"}}.get(error.status)
    return JSONResponse(error.as_dict(), error.status, headers)


async def _body(request: Request) -> object:
    """The JSON body, read only as far as the limit."""
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BODY_BYTES:
            message = f"the body is larger than {MAX_BODY_BYTES} bytes"
            raise TooLarge(message)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        message = f"the body is not JSON: {error}"
        raise InvalidRequest(message, field=None, code="invalid_json") from None
