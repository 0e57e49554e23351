"""What the routes take, for tools that read OpenAPI: FastAPI does not know the shapes of bodies."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from scheduler.api.anthropic_shape import MessagesRequest
from scheduler.api.completions_shape import CompletionBody
from scheduler.api.feedback import FeedbackRequest
from scheduler.api.protocol import ChatRequest
from scheduler.api.responses_shape import ResponsesRequest
from scheduler.api.tokens import DetokenizeRequest, TokenizeRequest

BODIES: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionBody,
    "/v1/responses": ResponsesRequest,
    "/v1/messages": MessagesRequest,
    "/v1/messages/count_tokens": MessagesRequest,
    "/tokenize": TokenizeRequest,
    "/detokenize": DetokenizeRequest,
    "/v1/feedback": FeedbackRequest,
}
SCHEMAS = "#/components/schemas/"


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an app, its request bodies filled in."""
    schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
    names, shapes = models_json_schema(
        [(shape, "validation") for shape in BODIES.values()], ref_template=SCHEMAS + "{model}"
    )
    schema.setdefault("components", {}).setdefault("schemas", {}).update(shapes["$defs"])
    for path, shape in BODIES.items():
        content = {"application/json": {"schema": names[shape, "validation"]}}
        schema["paths"][path]["post"]["requestBody"] = {"required": True, "content": content}
    return schema
