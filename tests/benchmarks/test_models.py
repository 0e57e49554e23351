"""What the benchmark of changing models counts as failed, and the settings that it writes."""

import asyncio
from pathlib import Path

import httpx

from benchmarks.models import Load, SettingsFile, measure
from scheduler.api.app import make_app
from scheduler.cluster.hosting import Hosting
from scheduler.cluster.local_engines import LocalEngines, LocalGateways
from scheduler.cluster.reloader import Reloader
from scheduler.curves.wal import DurableCurveStore
from scheduler.progress import progress
from scheduler.startup import SettingsSource
from tests.scheduler.simulation import client_of, make_controller


def test_its_settings_have_two_models_and_an_adapter(tmp_path: Path) -> None:
    file = SettingsFile(tmp_path / "settings.toml", 1234)
    file.write()
    config = SettingsSource(str(file.path), {}).read()
    assert {name: [*model.adapters] for name, model in config.models.items()} == {
        "small": ["maths"],
        "medium": [],
    }
    assert (config.port, config.of_model("small").replicas) == (1234, 2)


async def test_a_reply_that_is_no_answer_is_a_failure() -> None:
    async with client_of(await make_controller()) as client:
        load = await asked(client, "simulated", "gone")
    assert load.answered["simulated"] > 4
    assert load.answered["gone"] == 0
    assert load.failed and all(why.startswith("gone: status 404") for why in load.failed)
    assert load.end("simulated") == 0


async def test_models_that_come_and_go_fail_no_request(tmp_path: Path) -> None:
    file = SettingsFile(tmp_path / "settings.toml", 1234)
    file.write()
    source = SettingsSource(str(file.path), {})
    config = source.read()
    engines = LocalEngines(config, start_seconds=5.0)
    hosting = Hosting(config, DurableCurveStore(), engines.open)
    await hosting.start()
    reloader = Reloader(hosting, source, LocalGateways([hosting]), engines)
    app = make_app(hosting.endpoint, administration=reloader, live_page=False)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        goals = await measure(client, file, 3.0)
    assert {name: goal["met"] for name, goal in goals.items()} == {
        "failed_requests": True,
        "answered_by_the_added_model": True,
        "under_way_at_the_removal": True,
    }
    assert hosting.settings.price == 0.0001
    assert set(hosting.endpoint.models) == {"small", "maths", "large"}


async def asked(client: httpx.AsyncClient, *models: str) -> Load:
    with progress("requests", None) as bar:
        load = Load(client, bar)
        load.begin(*models)
        await asyncio.sleep(30.0)
        await load.ended()
    return load
