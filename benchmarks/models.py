"""Two models and an adapter served at once while models, prices and engines change under load.

Clients ask every model all the time. Meanwhile one model is added and another one removed by
`/admin/reload`, the price changes, and the engines of a model restart one at a time. No request may
fail. Requests for a model begin once the reload that adds it has returned, and no new ones are sent
from the moment that its removal is asked for; those under way then must end well.

    python -m benchmarks.models [--seconds 30] [--quick]

Real Ray Serve with two gateways; engines are simulated, 1,000 tokens a second a chain.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import httpx

from benchmarks.goals import at_least, at_most, report
from benchmarks.harness import CHAT, open_server
from scheduler.progress import Progress, progress
from scheduler.startup import SettingsSource

CLIENTS = 4
THINKING_TOKENS = 1000
# A client whose request fails sends its next one so much later.
PAUSE_SECONDS = 0.5
TOP = """
port = {port}
gateways = 2
price = {price}
drain_seconds = 60
"""
MODEL = """
[models.{name}]
replicas = {replicas}
adapters = {adapters}
[models.{name}.engine]
kind = "simulated"
model = "{name}"
"""


class SettingsFile:
    """The settings file of the server, written anew for every change."""

    def __init__(self, path: Path, port: int) -> None:
        self.path, self.port, self.price = path, port, 0.0003
        self.models = {"small": 2, "medium": 1}

    def write(self) -> None:
        tables = [
            MODEL.format(
                name=name,
                replicas=replicas,
                adapters='{maths = "adapters/maths"}' if name == "small" else "{}",
            )
            for name, replicas in self.models.items()
        ]
        text = TOP.format(port=self.port, price=self.price) + "".join(tables)
        self.path.write_text(text, encoding="utf-8")


class Load:
    """`CLIENTS` clients a model, each with one request at a time. `failed` are the failures."""

    def __init__(self, client: httpx.AsyncClient, bar: Progress) -> None:
        self._client, self._bar = client, bar
        self._models: set[str] = set()
        self._clients: set[asyncio.Task[None]] = set()
        self.running: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self.slowest = 0.0

    def begin(self, *models: str) -> None:
        self._models |= {*models}
        for model in models:
            self._clients |= {asyncio.create_task(self._ask(model, n)) for n in range(CLIENTS)}

    def end(self, *models: str) -> int:
        """Send no more to these models; how many of their requests are under way."""
        self._models -= {*models}
        return sum(self.running[model] for model in models)

    async def ended(self) -> None:
        self._models.clear()
        await asyncio.gather(*self._clients)

    async def _ask(self, model: str, number: int) -> None:
        while model in self._models:
            number += CLIENTS
            self.running[model] += 1
            began = time.monotonic()
            if (why := await self._failure(model, number)) is None:
                self.answered[model] += 1
            else:
                self.failed.append(f"{model}: {why}")
                await asyncio.sleep(PAUSE_SECONDS)
            self.running[model] -= 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            self._bar.advance(f"{len(self.failed)} failed, asked: {', '.join(self._models)}")

    async def _failure(self, model: str, number: int) -> str | None:
        """Every other request is streamed."""
        budget = {"policy": "fixed", "max_thinking_tokens": THINKING_TOKENS}
        question = {"role": "user", "content": f"medium question {number}"}
        body = {"model": model, "messages": [question], "stream": number // CLIENTS % 2 == 0}
        body["thinkbudget"] = budget | {"min_thinking_tokens": THINKING_TOKENS}
        try:
            reply = await self._client.post(CHAT, json=body)
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        text = reply.text
        whole = text.rstrip().endswith("data: [DONE]") if body["stream"] else "choices" in text
        if reply.status_code == 200 and whole and '"error"' not in text:
            return None
        return f"status {reply.status_code}: {text[-300:]}"


class Changes:
    """What happens to the server while the load runs."""

    def __init__(self, client: httpx.AsyncClient, file: SettingsFile, load: Load) -> None:
        self._client, self._file, self._load = client, file, load
        self.cut = 0

    async def price(self) -> dict[str, Any]:
        self._file.price = 0.0001
        return await self._reload()

    async def add(self) -> dict[str, Any]:
        self._file.models["large"] = 1
        done = await self._reload()
        self._load.begin("large")
        return done

    async def remove(self) -> dict[str, Any]:
        del self._file.models["medium"]
        self.cut = self._load.end("medium")
        return await self._reload() | {"under way at the removal": self.cut}

    async def restart(self) -> dict[str, Any]:
        return await self._post("/admin/restart", {"model": "small"})

    async def _reload(self) -> dict[str, Any]:
        self._file.write()
        return await self._post("/admin/reload", {})

    async def _post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        reply = await self._client.post(path, json=body)
        if reply.status_code != 200:
            raise click.ClickException(f"{path} is refused: {reply.text}")
        said: dict[str, Any] = reply.json()
        return {name: value for name, value in said.items() if value}


async def measure(client: httpx.AsyncClient, file: SettingsFile, seconds: float) -> dict[str, Any]:
    """Goals by name; `seconds` of load before, between and after the changes."""
    with progress("requests", None) as bar:
        load = Load(client, bar)
        load.begin("small", "medium", "maths")
        changes = Changes(client, file, load)
        steps: dict[str, Callable[[], Coroutine[Any, Any, dict[str, Any]]]] = {
            "a model is added": changes.add,
            "a model is removed": changes.remove,
            "the price changes": changes.price,
            "engines restart": changes.restart,
        }
        for what, change in steps.items():
            await asyncio.sleep(seconds)
            began = time.monotonic()
            done = await change()
            print(f"{what}: {time.monotonic() - began:.1f} s, {done}", flush=True)
        await asyncio.sleep(seconds)
        await load.ended()
    for each in load.failed[:10]:
        print(f"failed: {each}")
    print(f"answered: {dict(load.answered)}, the slowest after {load.slowest:.1f} s")
    return {
        "failed_requests": at_most(len(load.failed), 0),
        "answered_by_the_added_model": at_least(load.answered["large"], 1),
        "under_way_at_the_removal": at_least(changes.cut, 1),
    }


async def over_http(file: SettingsFile, seconds: float) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=None)
    url = f"http://127.0.0.1:{file.port}"
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as client:
        return await measure(client, file, seconds)


@click.command()
@click.option("--seconds", default=30.0, help="Of load before, between and after the changes.")
@click.option("--port", default=8123, show_default=True)
@click.option("--quick", is_flag=True, help="3 seconds between the changes.")
def main(seconds: float, port: int, quick: bool) -> None:
    with TemporaryDirectory() as folder:
        file = SettingsFile(Path(folder) / "thinkbudget.toml", port)
        file.write()
        source = SettingsSource(str(file.path), {})
        with open_server(source.read(), source):
            goals = asyncio.run(over_http(file, 3.0 if quick else seconds))
    report(goals)


if __name__ == "__main__":
    main()
