"""The routes of files and batches; without a folder in the settings there are none."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.datastructures import UploadFile

from scheduler.api.batches.batches import Batches
from scheduler.api.batches.file_store import page
from scheduler.errors import InvalidRequest

PURPOSES = ("batch", "user_data")


def add_batch_routes(
    app: FastAPI, batches: Batches, body: Callable[[Request], Awaitable[object]]
) -> None:
    """`body` reads the JSON of a request."""
    files = batches.files

    @app.post("/v1/files")
    async def upload(request: Request) -> Response:
        async with request.form(max_files=1, max_fields=10) as form:
            file, purpose = form.get("file"), form.get("purpose")
            if not isinstance(file, UploadFile):
                raise InvalidRequest("file: field required, as a multipart form", field="file")
            if purpose not in PURPOSES:
                why = f"purpose must be one of {', '.join(PURPOSES)}, got {purpose!r}"
                raise InvalidRequest(why, field="purpose")
            data, name = await file.read(), file.filename or "file.jsonl"
        return JSONResponse(
            await asyncio.to_thread(files.keep, data, name=name, purpose=str(purpose))
        )

    @app.get("/v1/files")
    async def list_files(request: Request) -> Response:
        found = files.listed(request.query_params.get("purpose"))
        return JSONResponse(page(found, **_place(request, 10_000)))

    @app.get("/v1/files/{number}")
    async def get_file(number: str) -> Response:
        return JSONResponse(files.get(number))

    @app.delete("/v1/files/{number}")
    async def delete_file(number: str) -> Response:
        return JSONResponse(files.delete(number))

    @app.get("/v1/files/{number}/content")
    async def content(number: str) -> Response:
        return FileResponse(files.path_of(number), media_type="application/octet-stream")

    @app.post("/v1/batches")
    async def create(request: Request) -> Response:
        return JSONResponse(batches.create(await body(request)))

    @app.get("/v1/batches")
    async def list_batches(request: Request) -> Response:
        return JSONResponse(batches.listed(**_place(request, 20)))

    @app.get("/v1/batches/{number}")
    async def get_batch(number: str) -> Response:
        return JSONResponse(batches.get(number))

    @app.post("/v1/batches/{number}/cancel")
    async def cancel(number: str) -> Response:
        return JSONResponse(batches.cancel(number))


def _place(request: Request, usual: int) -> dict[str, Any]:
    given = request.query_params.get("limit", str(usual))
    if not given.isdecimal() or not 1 <= int(given[:9]) <= 10_000:
        raise InvalidRequest(f"limit must be 1 to 10000, got {given!r}", field="limit")
    return {"after": request.query_params.get("after"), "limit": int(given[:9])}
