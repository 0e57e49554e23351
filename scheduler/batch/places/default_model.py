"""Lines of a batch that name no model are asked of the one that the job has."""

import asyncio
from typing import Any

from scheduler.batch.asking import Answer
from scheduler.client.http_client import Client
from scheduler.config import ServeConfig
from scheduler.errors import InvalidRequest


def with_model(answer: Answer, where: ServeConfig | str, *, api_key: str | None = None) -> Answer:
    """The same, with the model of `where` in a body that has none: the engine's in this process,
    or the first that the endpoint at a URL lists. That is asked for once, when a line needs it.
    """
    known = where.engine.model if isinstance(where, ServeConfig) else ""
    gate = asyncio.Lock()

    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        nonlocal known
        if body.get("model") is not None:
            return await answer(body)
        async with gate:
            if not known:
                known = await _first_model(str(where), api_key)
        return await answer(body | {"model": known})

    return ask


async def _first_model(url: str, api_key: str | None) -> str:
    client = Client(url, api_key=api_key)
    try:
        listed = await client.get("/models")
    finally:
        await client.close()
    try:
        return str(listed["data"][0]["id"])
    except (LookupError, TypeError):
        message = "model: field required, and the endpoint lists none"
        raise InvalidRequest(message, field="model") from None
