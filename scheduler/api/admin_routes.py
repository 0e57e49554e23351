"""POST /admin/reload and /admin/restart: for keys of role admin."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scheduler.api.endpoint import Administration
from scheduler.errors import InvalidRequest
from scheduler.json_body import parse_json

Work = Callable[[], Awaitable[dict[str, Any]]]


def routes(administration: Administration) -> list[Route]:
    async def reload(request: Request) -> Response:
        await _options(request)
        return await _done(administration.reload)

    async def restart(request: Request) -> Response:
        model = (await _options(request, "model")).get("model")
        if not isinstance(model, str | None):
            why = f"model must be the name of a model, got {model!r}"
            raise InvalidRequest(why, field="model")
        return await _done(lambda: administration.restart(model))

    return [
        Route("/admin/reload", reload, methods=["POST"]),
        Route("/admin/restart", restart, methods=["POST"]),
    ]


async def _options(request: Request, *known: str) -> dict[str, Any]:
    """The object of a request's body, which may be empty."""
    raw = await request.body()
    body = parse_json(raw) if raw.strip() else {}
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be an object", field=None)
    for name in body:
        if name not in known:
            raise InvalidRequest(f"{name} is not known here; remove it", field=name)
    return body


async def _done(work: Work) -> Response:
    try:
        return JSONResponse(await work())
    except ValueError as error:
        why = " ".join(str(error).split())
        raise InvalidRequest(why, field=None, code="invalid_settings") from None
