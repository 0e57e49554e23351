"""What the benchmark of changing models counts as failed, and the settings that it writes."""

import asyncio
from pathlib import Path

import httpx

from benchmarks.models import Load, SettingsFile
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


async def asked(client: httpx.AsyncClient, *models: str) -> Load:
    with progress("requests", None) as bar:
        load = Load(client, bar)
        load.begin(*models)
        await asyncio.sleep(30.0)
        await load.ended()
    return load
