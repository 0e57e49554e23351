"""The page at /docs, which shows the OpenAPI document that its reader's key may read."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scheduler.api.live_page.files import DOCS_PATHS
from scheduler.api.live_page.routes import file_reply


def routes() -> list[Route]:
    """The page and its files; nothing of them comes from elsewhere."""

    async def file(request: Request) -> Response:
        return file_reply(request, DOCS_PATHS[request.scope["path"]])

    return [Route(path, file) for path in DOCS_PATHS]
