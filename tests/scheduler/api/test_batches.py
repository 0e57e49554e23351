"""Files and batches as openai-python uses them, unchanged."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from scheduler.admission.access import AccessConfig
from scheduler.admission.limits import LimitsConfig
from scheduler.api import keys
from scheduler.api.app import IN_PROCESS, make_app
from scheduler.api.batches.batches import Batches
from scheduler.api.batches.file_store import FileStore
from scheduler.api.chat import complete
from scheduler.batch.places.served import ServedBatches
from tests.scheduler.batch.jobs import line
from tests.scheduler.simulation import make_controller
from workers.simulated.engine import SimulatedEngine


@asynccontextmanager
async def endpoint(
    folder: Path, *, access: AccessConfig = IN_PROCESS, slow: float = 1.0
) -> AsyncIterator[httpx2.ASGITransport]:
    engine = SimulatedEngine(tokens_per_second=20_000 / slow)
    controller = await make_controller(engine)
    batches = Batches(
        FileStore(folder), ServedBatches(partial(complete, controller), concurrency=2)
    )
    batches.resume()
    limits = LimitsConfig(file_bytes=1 << 18)
    app = make_app(controller, access=access, limits=limits, batches=batches)
    yield httpx2.ASGITransport(app)
    await batches.close()


def client(transport: httpx2.ASGITransport, key: str = "none") -> openai.AsyncOpenAI:
    http = openai.DefaultAsyncHttpxClient(transport=transport)
    return openai.AsyncOpenAI(base_url="http://test/v1", api_key=key, http_client=http)


def lines(*texts: str) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


async def begun(asks: openai.AsyncOpenAI, data: bytes, **fields: Any) -> Any:
    file = await asks.files.create(file=("in.jsonl", data), purpose="batch")
    return await asks.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        **fields,
    )


async def ended(asks: openai.AsyncOpenAI, number: str) -> Any:
    async with asyncio.timeout(60):
        while True:
            batch = await asks.batches.retrieve(number)
            if batch.status in ("completed", "failed", "cancelled", "expired"):
                return batch
            await asyncio.sleep(0.02)


async def test_a_batch_from_its_file_to_its_answers(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as transport:
        asks = client(transport)
        data = lines(line("a"), line("b"), line("bad", temperature=9), "no json")
        batch = await begun(asks, data, metadata={"what": "trial"})
        assert batch.status in ("validating", "in_progress")
        batch = await ended(asks, batch.id)
        assert (batch.status, batch.metadata) == ("completed", {"what": "trial"})
        counts = batch.request_counts
        assert (counts.total, counts.completed, counts.failed) == (4, 2, 2)
        text = (await asks.files.content(batch.output_file_id)).text
        answers = [json.loads(one) for one in text.splitlines()]
        assert sorted(one["custom_id"] for one in answers) == ["a", "b"]
        errors = (await asks.files.content(batch.error_file_id)).text.splitlines()
        found = {
            one["custom_id"]: one["response"]["status_code"] for one in map(json.loads, errors)
        }
        assert found == {"bad": 400, None: 400}
        listed = await asks.batches.list()
        assert [one.id for one in listed.data] == [batch.id]
        files = [one async for one in asks.files.list()]
        assert {one.purpose for one in files} == {"batch", "batch_output"}
        assert (await asks.files.delete(batch.output_file_id)).deleted
        with pytest.raises(openai.NotFoundError):
            await asks.files.retrieve(batch.output_file_id)


async def test_a_cancelled_batch_keeps_what_it_has(tmp_path: Path) -> None:
    async with endpoint(tmp_path, slow=20.0) as transport:
        asks = client(transport)
        batch = await begun(asks, lines(*(line(str(n)) for n in range(400))))
        while (await asks.batches.retrieve(batch.id)).request_counts.completed == 0:  # type: ignore[union-attr]
            await asyncio.sleep(0.05)
        assert (await asks.batches.cancel(batch.id)).status == "cancelling"
        batch = await ended(asks, batch.id)
        assert batch.status == "cancelled"
        answered = (await asks.files.content(batch.output_file_id)).text.splitlines()
        assert 0 < len(answered) == batch.request_counts.completed < 400
        with pytest.raises(openai.BadRequestError, match="cancelled already"):
            await asks.batches.cancel(batch.id)


async def test_a_batch_goes_on_at_the_next_start(tmp_path: Path) -> None:
    async with endpoint(tmp_path, slow=20.0) as transport:
        batch = await begun(client(transport), lines(*(line(str(n)) for n in range(100))))
        await asyncio.sleep(0.3)
    async with endpoint(tmp_path) as transport:
        asks = client(transport)
        batch = await ended(asks, batch.id)
        text = (await asks.files.content(batch.output_file_id)).text
        ids = [json.loads(one)["custom_id"] for one in text.splitlines()]
        assert sorted(ids, key=int) == list(map(str, range(100)))


async def test_a_batch_has_a_budget(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as transport:
        asks = client(transport)
        data = lines(*(line(str(n)) for n in range(20)))
        batch = await ended(asks, (await begun(asks, data, metadata={"budget_tokens": "9000"})).id)
        assert batch.status == "completed" and batch.request_counts.completed == 20
        assert 0 < batch.usage.output_tokens <= 9000
        wrong = await ended(asks, (await begun(asks, data, metadata={"budget_tokens": "x"})).id)
        assert wrong.status == "failed" and "budget_tokens" in wrong.errors.data[0].message


async def test_files_and_batches_belong_to_their_key(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    ours, theirs = keys.create(path, "ours", role="batch"), keys.create(path, "theirs")
    access = AccessConfig(keys=str(path), allowed_hosts=("*",))
    async with endpoint(tmp_path / "files", access=access) as transport:
        asks, others = client(transport, ours), client(transport, theirs)
        batch = await ended(asks, (await begun(asks, lines(line("a")))).id)
        for call in (
            others.batches.retrieve(batch.id),
            others.batches.cancel(batch.id),
            others.files.content(batch.output_file_id),
            others.files.delete(batch.input_file_id),
            others.batches.create(
                input_file_id=batch.input_file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
            ),
        ):
            with pytest.raises(openai.NotFoundError):
                await call
        assert (await others.batches.list()).data == []
        with pytest.raises(openai.AuthenticationError):
            await client(transport, "tb-wrong").files.list()
    assert {item.stat().st_mode & 0o077 for item in (tmp_path / "files").rglob("*file-*")} == {0}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"input_file_id": "../../etc/passwd"}, "file"),
        ({"input_file_id": "file-" + "0" * 32}, "file"),
        ({"metadata": {"a": 7}}, "metadata"),
    ],
)
async def test_a_wrong_batch_is_refused_by_its_field(
    fields: dict[str, Any], named: str, tmp_path: Path
) -> None:
    async with endpoint(tmp_path) as transport:
        asks = client(transport)
        file = await asks.files.create(file=("in.jsonl", lines(line("a"))), purpose="batch")
        good = {"input_file_id": file.id, "endpoint": "/v1/chat/completions"}
        body = good | {"completion_window": "24h"} | fields
        with pytest.raises((openai.BadRequestError, openai.NotFoundError), match=named):
            await asks.batches.create(**body)


async def test_uploads_are_checked(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as transport:
        asks = client(transport)
        with pytest.raises(openai.APIStatusError, match="larger than") as error:
            await asks.files.create(file=("big.jsonl", b"x" * (1 << 19)), purpose="batch")
        assert error.value.status_code == 413
        with pytest.raises(openai.BadRequestError, match="purpose"):
            await asks.files.create(file=("a", b"x"), purpose="fine-tune")
        empty = await ended(asks, (await begun(asks, b"\n")).id)
        assert (empty.status, empty.errors.data[0].code) == ("failed", "empty_file")
        http = httpx2.AsyncClient(transport=transport, base_url="http://test")
        for path in ("/v1/files/..%2F..%2Fetc%2Fpasswd/content", "/v1/files/%00"):
            assert (await http.get(path)).status_code == 404
        assert (await http.post("/v1/files", json={"purpose": "batch"})).status_code == 400
