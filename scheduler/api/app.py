"""The HTTP face: OpenAI's endpoints round a controller. Runs under Ray Serve, or without it."""

from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from scheduler.admission.access import ANY, AccessConfig
from scheduler.admission.limits import LimitsConfig
from scheduler.api import (
    admin_routes,
    aliases,
    chat,
    chat_stream,
    completions,
    docs_page,
    feedback,
    openapi,
    service,
    tokens,
)
from scheduler.api import response as reply
from scheduler.api.anthropic import messages as anthropic_messages
from scheduler.api.anthropic import stream as anthropic_stream
from scheduler.api.batches.batches import Batches
from scheduler.api.batches.routes import add_batch_routes
from scheduler.api.endpoint import Administration, Endpoint
from scheduler.api.live_page import routes as live_page_routes
from scheduler.api.middleware.access import AccessMiddleware
from scheduler.api.middleware.claims import SharedClaims
from scheduler.api.middleware.idempotency import IdempotencyMiddleware
from scheduler.api.middleware.trace import TraceMiddleware, refusal
from scheduler.api.model_routes import route_card
from scheduler.api.responses import answer as responses
from scheduler.api.responses import stream as responses_stream
from scheduler.errors import Overloaded, RequestError, UnknownRoute
from scheduler.json_body import parse_json
from scheduler.solving.controller import Controller
from scheduler.solving.metrics import CONTENT_TYPE
from scheduler.solving.trace import TRACE

# For an app that nobody reaches over a network.
IN_PROCESS = AccessConfig(allowed_hosts=(ANY,))


def make_app(
    served: Controller | Endpoint,
    *,
    access: AccessConfig = IN_PROCESS,
    limits: LimitsConfig | None = None,
    host: str = "127.0.0.1",
    sends_request_id: bool = True,
    claims: SharedClaims | None = None,
    batches: Batches | None = None,
    live_page: bool = True,
    administration: Administration | None = None,
) -> FastAPI:
    """`served` is one model, or an endpoint, which has its own access and limits.

    `host` is what the server is bound to, and `sends_request_id` is False behind a proxy that puts
    the id on replies itself. `claims` are shared with other gateways. Without `batches` there are
    no routes for files, without `live_page` no /ui, and without `administration` no /admin.
    """
    endpoint = Endpoint.of(served, access, limits) if isinstance(served, Controller) else served
    app = FastAPI(
        title="thinkbudget",
        version=service.own_version(),
        docs_url=None,
        redoc_url=None,
    )

    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> Response:
        TRACE.get().outcome = error.code
        return refusal(error, request.scope["path"])

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def unknown(request: Request, error: HTTPException) -> Response:
        path = request.scope["path"]
        return refusal(UnknownRoute(request.method, path, error.status_code), path)

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        body = await _body(request)
        if endpoint.route_of(body) and isinstance(body, dict) and not body.get("stream"):
            return JSONResponse(await endpoint.complete(body))
        body = endpoint.routed(body)
        controller = endpoint.serving(body)
        job = chat.prepare(controller, body)
        if not job.request.stream:
            whole = await chat.answer(controller, job)
            return JSONResponse(whole, headers=reply.headers(job, whole["thinkbudget"]))
        return await _streamed(chat_stream.stream(controller, job), reply.headers(job))

    @app.get("/v1/models")
    async def models() -> Response:
        infos = [each.info for each in endpoint.models.values()]
        cards = [aliases.card(name, info) for info in infos for name in aliases.listed(info.model)]
        for name, route in endpoint.routes.items():
            cards.append(route_card(name, [endpoint.models[each] for each in route]))
        return JSONResponse({"object": "list", "data": cards})

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        controller = endpoint.named(name)
        aliases.resolve(name, controller.info.model)
        return JSONResponse(aliases.card(name, controller.info))

    @app.post("/v1/responses")
    async def response(request: Request) -> Response:
        body = endpoint.routed(await _body(request))
        controller = endpoint.serving(body)
        job = responses.prepare(controller, body)
        if not job.streams:
            whole = await responses.answer(controller, job)
            return JSONResponse(whole, headers=reply.headers(job.chat, whole["thinkbudget"]))
        return await _streamed(responses_stream.stream(controller, job), reply.headers(job.chat))

    @app.post(anthropic_messages.PATH)
    async def message(request: Request) -> Response:
        body = endpoint.routed(await _body(request))
        controller = endpoint.serving(body)
        job = anthropic_messages.prepare(controller, body)
        if not job.streams:
            whole = await anthropic_messages.answer(controller, job)
            return JSONResponse(whole, headers=reply.headers(job.chat, whole["thinkbudget"]))
        return await _streamed(anthropic_stream.stream(controller, job), reply.headers(job.chat))

    @app.post(f"{anthropic_messages.PATH}/count_tokens")
    async def message_tokens(request: Request) -> Response:
        body = await _body(request)
        return JSONResponse(await tokens.count_message_tokens(endpoint.serving(body), body))

    @app.post("/tokenize")
    async def tokenize(request: Request) -> Response:
        body = await _body(request)
        return JSONResponse(await tokens.tokenize(endpoint.serving(body), body))

    @app.post("/detokenize")
    async def detokenize(request: Request) -> Response:
        body = await _body(request)
        return JSONResponse(await tokens.detokenize(endpoint.serving(body), body))

    @app.get("/tokenizer_info")
    async def tokenizer_info(request: Request) -> Response:
        asked = dict(request.query_params)
        return JSONResponse(await tokens.describe(endpoint.serving(asked)))

    @app.post("/v1/completions")
    async def texts(request: Request) -> Response:
        body = endpoint.routed(await _body(request))
        controller = endpoint.serving(body)
        allowed = endpoint.access.allow_raw_prompts
        job = completions.prepare(controller, body, allowed=allowed)
        if not job.body.stream:
            return JSONResponse(await completions.answer(controller, job), headers=job.headers)
        return await _streamed(completions.stream(controller, job), job.headers)

    @app.post("/v1/feedback")
    async def labels(request: Request) -> Response:
        return JSONResponse(await feedback.take(endpoint, await _body(request)))

    @app.get("/v1/thinkbudget/curves")
    async def curves() -> Response:
        try:
            return JSONResponse(await endpoint.first.curves.export())
        except ConnectionError:
            raise Overloaded("the curve store is away; try again") from None

    @app.get("/health")
    async def health() -> Response:
        await service.check_any(endpoint)
        return JSONResponse({"status": "ok"})

    @app.get("/ready")
    async def ready() -> Response:
        service.require_ready(endpoint.first)
        return JSONResponse({"status": "ready"})

    @app.get("/version")
    async def version() -> Response:
        return JSONResponse(service.versions(endpoint))

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await service.exposition(endpoint), media_type=CONTENT_TYPE)

    app.router.routes.extend(docs_page.routes())
    if administration is not None:
        app.router.routes.extend(admin_routes.routes(administration))
    if batches is not None:
        add_batch_routes(app, batches, _body)
    if live_page:
        app.router.routes.extend(live_page_routes.routes(endpoint))

    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]

    # The layer that is added last is the outermost.
    app.add_middleware(IdempotencyMiddleware, claims=claims)
    app.add_middleware(
        AccessMiddleware,
        endpoint=endpoint,
        host=host,
    )
    app.add_middleware(TraceMiddleware, metrics=endpoint.metrics_of, sends_id=sends_request_id)
    return app


async def _streamed(events: AsyncIterator[str], headers: dict[str, str] | None = None) -> Response:
    """A reply whose first event is there: a refusal is raised before any header is sent."""
    first = await anext(events)

    async def body() -> AsyncIterator[str]:
        yield first
        async for event in events:
            yield event

    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


async def _body(request: Request) -> object:
    return parse_json(await request.body())
