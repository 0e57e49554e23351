"""Requests to a running endpoint, with its errors turned back into ours."""

from typing import Any

import httpx
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from scheduler.errors import RequestError


class Busy(RequestError):
    """The endpoint says to come back later."""

    status = 503


class Client:
    """`answer` posts one chat request body; busy and unreachable endpoints are tried again."""

    def __init__(self, url: str, *, concurrency: int = 16, attempts: int = 5) -> None:
        limits = httpx.Limits(max_connections=concurrency)
        self._http = httpx.AsyncClient(base_url=url.rstrip("/"), timeout=600, limits=limits)
        self._attempts = attempts

    async def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(self._attempts),
            wait=wait_random_exponential(multiplier=0.5, max=20),
            retry=retry_if_exception_type(Busy),
            reraise=True,
        ):
            with attempt:
                return await self._post(body)
        raise AssertionError("retrying ends by a reply or an error")

    async def get(self, path: str) -> dict[str, Any]:
        reply = await self._http.get(path)
        reply.raise_for_status()
        found: dict[str, Any] = reply.json()
        return found

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = await self._http.post("/v1/chat/completions", json=body)
        except httpx.TransportError as error:
            raise Busy(f"the endpoint cannot be reached: {error}", code="unreachable") from error
        if reply.status_code == 200:
            found: dict[str, Any] = reply.json()
            return found
        raise _refusal(reply)


def _refusal(reply: httpx.Response) -> RequestError:
    try:
        told = reply.json()["error"]
        error = RequestError(told["message"], field=told["param"], code=told["code"])
    except (ValueError, KeyError, TypeError):
        error = RequestError(reply.text[:500], code=f"http_{reply.status_code}")
    if reply.status_code in (429, 503):
        return Busy(error.message, field=error.field, code=error.code)
    error.status = reply.status_code
    return error
