"""The OpenAPI document, and the page that shows it."""

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from scheduler.admission.access import AccessConfig
from scheduler.api.batches.batches import Batches
from scheduler.api.batches.file_store import FileStore
from scheduler.api.chat import complete
from scheduler.api.keys import create
from scheduler.api.live_page.files import DOCS_PATHS
from scheduler.api.openapi import ABOUT, BODIES
from scheduler.batch.places.served import ServedBatches
from tests.scheduler.simulation import client_of, make_controller

OPENAPI = "/openapi.json"


async def document(folder: Path) -> dict[str, Any]:
    controller = await make_controller()
    batches = Batches(
        FileStore(folder), ServedBatches(partial(complete, controller), concurrency=1)
    )
    async with client_of(controller, batches=batches) as caller:
        found: dict[str, Any] = (await caller.get(OPENAPI)).json()
    return found


async def test_every_route_says_what_it_does_and_what_it_takes(tmp_path: Path) -> None:
    found = await document(tmp_path)
    assert found["info"] == {"title": "thinkbudget", "version": version("thinkbudget")}
    assert set(found["paths"]) == set(ABOUT)
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            assert operation["description"]
            assert ("requestBody" in operation) == (path in BODIES and method == "post")
            assert ("security" in operation) == (path not in ("/health", "/ready"))


async def test_every_reference_leads_to_a_schema(tmp_path: Path) -> None:
    found = await document(tmp_path)
    schemas = found["components"]["schemas"]

    def references(node: Any) -> list[str]:
        if isinstance(node, list):
            return [each for part in node for each in references(part)]
        if not isinstance(node, dict):
            return []
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + references(list(node.values()))

    named = {each.removeprefix("#/components/schemas/") for each in references(found)}
    assert named
    assert named <= set(schemas)


@pytest.mark.parametrize(
    ("role", "status"),
    [("admin", 200), ("inference", 200), ("batch", 200), ("viewer", 403), (None, 401)],
)
async def test_the_document_needs_a_key_and_the_page_does_not(
    tmp_path: Path, role: str | None, status: int
) -> None:
    keys = tmp_path / "keys.jsonl"
    create(keys, "somebody")
    headers = {"authorization": f"Bearer {create(keys, 'x', role=role)}"} if role else {}
    access = AccessConfig(keys=str(keys))
    async with client_of(await make_controller(), access=access) as caller:
        assert (await caller.get(OPENAPI, headers=headers)).status_code == status
        assert (await caller.get("/docs")).status_code == 200


async def test_the_page_loads_nothing_from_elsewhere() -> None:
    async with client_of(await make_controller(), live_page=False) as caller:
        for path in DOCS_PATHS:
            reply = await caller.get(path)
            assert reply.status_code == 200
            assert "default-src 'none'" in reply.headers["content-security-policy"]
            text = reply.text.replace("http://www.w3.org/2000/svg", "")
            assert "http://" not in text and "https://" not in text
