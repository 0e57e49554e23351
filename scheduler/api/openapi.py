"""What the routes take, for tools that read OpenAPI: FastAPI does not know the shapes of bodies."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from scheduler.api.anthropic.shape import MessagesRequest
from scheduler.api.completions_shape import CompletionBody
from scheduler.api.feedback import FeedbackRequest
from scheduler.api.protocol import ChatRequest
from scheduler.api.responses.shape import ResponsesRequest
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
OPEN = ("/health", "/ready")
"""What needs no key."""


ABOUT = {
    "/v1/chat/completions": "Chat completions, whole or streamed.",
    "/v1/completions": "One raw prompt to the engine: no budget, no scheduling.",
    "/v1/responses": "OpenAI's Responses: text, efforts, functions, streaming events.",
    "/v1/messages": "Anthropic's Messages, whole or streamed.",
    "/v1/messages/count_tokens": "The tokens of a prompt.",
    "/v1/models": "The model and its aliases.",
    "/v1/models/{name}": "One model or alias.",
    "/v1/feedback": "Labels an answer.",
    "/v1/files": "Files of batch jobs: the list, or a new one (a multipart form).",
    "/v1/files/{number}": "One file: what is known of it, or its end.",
    "/v1/files/{number}/content": "The bytes of a file.",
    "/v1/batches": "Batch jobs: the list, or a new one.",
    "/v1/batches/{number}": "One batch job.",
    "/v1/batches/{number}/cancel": "Ends a batch job.",
    "/v1/thinkbudget/curves": "The learned curves.",
    "/tokenize": "Tokens of a text or of messages.",
    "/detokenize": "The text of tokens.",
    "/tokenizer_info": "What the tokenizer is.",
    "/health": "200 while an engine can serve, else 503.",
    "/ready": "200 while new requests are taken, 503 while the server drains.",
    "/version": "Versions.",
    "/metrics": "Prometheus metrics.",
}
ERROR = {"description": "An error object of OpenAI, or of Anthropic below /v1/messages."}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an app, its request bodies filled in."""
    schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
    names, shapes = models_json_schema(
        [(shape, "validation") for shape in BODIES.values()], ref_template=SCHEMAS + "{model}"
    )
    # FastAPI's own refusals: no route has a parameter that it would refuse.
    schema["components"] = {
        "schemas": shapes["$defs"],
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = ERROR
            if path in ABOUT:
                operation["description"] = ABOUT[path]
            if path not in OPEN:
                operation["security"] = [{"key": []}, {}]
    for path, shape in BODIES.items():
        content = {"application/json": {"schema": names[shape, "validation"]}}
        schema["paths"][path]["post"]["requestBody"] = {"required": True, "content": content}
    return schema
