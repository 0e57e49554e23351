"""Requests to a running endpoint by OpenAI's own client; its errors become ours."""

import os
from typing import Any
from urllib.parse import urlsplit

import openai

from scheduler.errors import RequestError

TIMEOUT_SECONDS = 600.0
NO_KEY = "none"


class Unreachable(RequestError):
    """Nothing answers at the endpoint's address."""

    status = 503


class Client:
    """Posts request bodies to an OpenAI-compatible endpoint.

    `url` is the server's address, with or without `/v1`. `api_key` of None is OPENAI_API_KEY from
    the environment. A busy or unreachable endpoint is tried again `max_retries` times, after as
    many seconds as its Retry-After says. Raises ValueError for an address or a key that cannot be.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        max_retries: int = 5,
    ) -> None:
        key = api_key or os.environ.get("OPENAI_API_KEY") or NO_KEY
        check_endpoint(url, key)
        self.url = url.rstrip("/").removesuffix("/v1")
        self._client = openai.AsyncOpenAI(
            base_url=f"{self.url}/v1",
            api_key=key,
            max_retries=max_retries,
            timeout=TIMEOUT_SECONDS,
        )

    async def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer one chat request, never as a stream. Raises RequestError."""
        whole = {name: value for name, value in body.items() if name not in _STREAMING}
        return await self._call(self._client.post("/chat/completions", cast_to=object, body=whole))

    async def get(self, path: str) -> dict[str, Any]:
        """The JSON at a path below `/v1`. Raises RequestError."""
        return await self._call(self._client.get(path, cast_to=object))

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST at a path of the server; the work there may take as long as it wants."""
        whole = f"{self.url}{path}"
        return await self._call(
            self._client.post(whole, cast_to=object, body=body, options={"timeout": None})
        )

    async def close(self) -> None:
        await self._client.close()

    async def _call(self, call: Any) -> dict[str, Any]:
        try:
            found = await call
        except openai.APIStatusError as error:
            raise _refusal(error) from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            message = f"{self.url} cannot be reached: {cause or type(cause).__name__}{_proxies()}"
            raise Unreachable(message, code="unreachable") from error
        except ValueError:
            found = None  # the reply calls itself JSON, and is none
        if not isinstance(found, dict):
            message = f"{self.url} answered with something else than a JSON object"
            raise RequestError(message, code="invalid_response")
        return found


_STREAMING = ("stream", "stream_options")


def check_endpoint(url: str, api_key: str | None) -> None:
    """Raise ValueError for an address or a key that cannot be."""
    if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
        raise ValueError("api_key must be printable ASCII; this one is not")
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        parts.port  # noqa: B018 - raises for a port that cannot be
    except ValueError as error:
        raise ValueError(f"url must be the address of an endpoint, got {url!r}: {error}") from None
    if not is_address:
        raise ValueError(f"url must begin with http:// or https:// and a host, got {url!r}")


def _refusal(error: openai.APIStatusError) -> RequestError:
    """The endpoint's error with its status, type, code and param."""
    body = error.body if isinstance(error.body, dict) else {}
    code = body.get("code")
    refusal = RequestError(
        str(body.get("message") or error.message)[:2000],
        field=body.get("param"),
        code=str(code) if code else f"http_{error.status_code}",
    )
    refusal.status = error.status_code
    refusal.kind = str(body.get("type") or refusal.kind)
    return refusal


def _proxies() -> str:
    """The proxies of the environment, which requests go through."""
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    found = [name for name in names if os.environ.get(name) or os.environ.get(name.lower())]
    return f" (through the proxy of {', '.join(found)})" if found else ""
