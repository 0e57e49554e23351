"""Models, policies, prices and engines that change under load, on simulated engines."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from scheduler.admission.access import ANY
from scheduler.api import keys
from scheduler.api.app import make_app
from scheduler.cluster.hosting import Hosting
from scheduler.cluster.local_engines import LocalEngines, LocalGateways
from scheduler.cluster.reloader import Reloader
from scheduler.curves.wal import DurableCurveStore
from scheduler.reloading import plan_reload
from scheduler.startup import SettingsSource, settings
from tests.scheduler.simulation import CHAT, chat
from workers.simulated.clock import run_virtual

OPEN = f'access.allowed_hosts = ["{ANY}"]\n'
TOP = OPEN + 'policy = {name = "majority", options = {samples = 4}}\nreplicas = 2\n'


def model(name: str, more: str = "") -> str:
    return f'[models.{name}]\n{more}[models.{name}.engine]\nkind = "simulated"\nmodel = "{name}"\n'


class Server:
    """A server of two gateways on a settings file."""

    def __init__(self, file: Path, text: str, *, start_seconds: float = 5.0) -> None:
        self.file = file
        self.write(text)
        source = SettingsSource(str(file), {})
        config = source.read()
        self.engines = LocalEngines(config, start_seconds=start_seconds)
        self.curves = DurableCurveStore()
        self.hostings = [Hosting(config, self.curves, self.engines.open) for _ in range(2)]
        self.reloader = Reloader(
            self.hostings[0], source, LocalGateways(self.hostings), self.engines
        )
        self.results: Counter[tuple[str, int | str]] = Counter()

    def write(self, text: str) -> None:
        self.file.write_text(text, encoding="utf-8")

    async def start(self) -> list[httpx.AsyncClient]:
        for hosting in self.hostings:
            await hosting.start()
        apps = [
            make_app(each.endpoint, administration=self.reloader, live_page=False)
            for each in self.hostings
        ]
        return [
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
            for app in apps
        ]

    @asynccontextmanager
    async def load(
        self, clients: list[httpx.AsyncClient], models: Callable[[], list[str]], every: float = 0.25
    ) -> AsyncIterator[None]:
        """Queries of the models of the moment, until the block ends; all of them end."""
        going, asked = True, set[asyncio.Task[None]]()

        async def ask(name: str, number: int) -> None:
            body = chat(f"medium question {number}", model=name)
            reply = await clients[number % len(clients)].post(CHAT, json=body)
            self.results[name, reply.status_code] += 1

        async def send() -> None:
            number = 0
            while going:
                for name in models():
                    task = asyncio.create_task(ask(name, number))
                    asked.add(task)
                    number += 1
                await asyncio.sleep(every)

        sending = asyncio.create_task(send())
        yield
        going = False
        await sending
        await asyncio.gather(*asked)

    @property
    def failed(self) -> int:
        return sum(n for (_, status), n in self.results.items() if status != 200)


async def reload(client: httpx.AsyncClient) -> dict[str, Any]:
    reply = await client.post("/admin/reload")
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_models_and_an_adapter_come_and_go_under_load_and_no_request_fails(tmp_path: Path) -> None:
    before = TOP + model("small", 'adapters = {maths = "/loras/maths"}\n') + model("large")
    after = TOP + model("small", 'adapters = {maths = "/loras/maths"}\n') + model("other")

    async def main() -> tuple[Server, dict[str, Any], list[str]]:
        server = Server(tmp_path / "settings.toml", before)
        clients = await server.start()
        asked = ["small", "maths", "large"]
        async with server.load(clients, lambda: asked):
            await asyncio.sleep(20)
            server.write(after)
            asked.remove("large")  # Its requests under way are to end as any others.
            done = await reload(clients[0])
            asked.append("other")
            await asyncio.sleep(20)
        late = await clients[1].post(CHAT, json=chat(model="large"))
        assert late.status_code == 404
        assert "'small, maths, other'" in late.json()["error"]["message"]
        listed = (await clients[1].get("/v1/models")).json()["data"]
        assert list(server.engines.pools(server.hostings[0].settings)) == ["small", "other"]
        return server, done, [card["id"] for card in listed if "@" not in card["id"]]

    server, done, listed = run_virtual(main())
    assert done["models_added"] == ["other"] and done["models_removed"] == ["large"]
    assert listed == ["small", "maths", "other"]
    assert server.failed == 0
    assert all(server.results[name, 200] > 40 for name in ("small", "maths", "large", "other"))
    curves = {name: server.curves.sizes(name) for name in ("small", "maths", "large", "other")}
    assert all(curves.values())


@pytest.mark.parametrize("replicas", [1, 3])
def test_engines_restart_one_after_another_and_no_request_fails(
    tmp_path: Path, replicas: int
) -> None:
    text = OPEN + f'policy = "x"\nreplicas = {replicas}\n[engine]\nkind = "simulated"\n'
    text = text.replace('policy = "x"', 'policy = {name = "majority"}')

    async def main() -> tuple[Server, dict[str, Any], int]:
        server = Server(tmp_path / "settings.toml", text)
        clients = await server.start()
        async with server.load(clients, lambda: ["s1-pocket"], every=0.05):
            moved = 0
            for _ in range(8):  # now and then an engine has no chain just when it leaves
                await asyncio.sleep(2)
                done = (await clients[0].post("/admin/restart", json={})).json()
                await asyncio.sleep(2)
                engines = (each.endpoint.first.engine for each in server.hostings)
                if moved := sum(engine.stats()["migrations"] for engine in engines):
                    break
        return server, done, moved

    server, done, moved = run_virtual(main())
    assert done == {"restarted": {"s1-pocket": replicas}}
    assert server.failed == 0 and server.results["s1-pocket", 200] > 40
    assert moved > 0


def test_price_policy_and_keys_change_under_load_and_what_was_learned_stays(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    secret = keys.create(file, "operator", role="admin")
    head = f'access.keys = "{file}"\nport = 8001\n'
    engine = '[engine]\nkind = "simulated"\n'

    async def main() -> None:
        server = Server(tmp_path / "settings.toml", head + engine)
        clients = await server.start()
        for client in clients:
            client.headers["authorization"] = f"Bearer {secret}"
        async with server.load(clients, lambda: ["s1-pocket"]):
            await asyncio.sleep(10)
            learned = server.curves.sizes("s1-pocket")["default"]
            server.write(
                head.replace("8001", "8002")
                + 'price = 0.002\npolicy = {name = "fixed"}\nlimits = {max_queue = 5}\n'
                + engine
            )
            done = await reload(clients[0])
            assert done["changed"] == ["policy", "price", "limits"]
            assert done["restart_needed"] == ["port"]
            await asyncio.sleep(1)
        for hosting in server.hostings:
            controller = hosting.endpoint.first
            assert (controller.policy.name, controller.pricing.price.per_token) == ("fixed", 0.002)
            assert controller.admission.max_running == 128
            assert controller.admission.limits and controller.admission.limits.max_queue == 5
            assert hosting.settings.port == 8001
        assert server.failed == 0
        assert server.curves.sizes("s1-pocket")["default"] >= learned > 0
        viewer = keys.create(file, "looker", role="viewer")
        header = {"authorization": f"Bearer {viewer}"}
        assert (await clients[0].post("/admin/reload", headers=header)).status_code == 403

    run_virtual(main())


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("price = 2\n", ["price", "2", "settings.toml"]),
        ('policy = {name = "fixd"}\n', ["policy", "fixd"]),
        ("price = \n", ["settings.toml"]),
        (
            model("small", "replicas = 0\n"),
            ["models.small.replicas", "0"],
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_line_and_nothing_changes(
    tmp_path: Path, bad: str, words: list[str]
) -> None:
    good = OPEN + '[engine]\nkind = "simulated"\n'

    async def main() -> None:
        server = Server(tmp_path / "settings.toml", good)
        clients = await server.start()
        was, policy = server.hostings[0].settings, server.hostings[0].endpoint.first.policy
        server.write(bad + good if "models" not in bad else OPEN + bad)
        reply = await clients[0].post("/admin/reload")
        assert reply.status_code == 400
        message = reply.json()["error"]["message"]
        assert "\n" not in message and all(word in message for word in words), message
        assert server.hostings[0].settings is was
        assert server.hostings[0].endpoint.first.policy is policy

    run_virtual(main())


def test_metrics_and_curves_are_kept_apart_by_model(tmp_path: Path) -> None:
    text = TOP + model("small", "price = 0.001\n") + model("large", 'policy = {name = "fixed"}\n')

    async def main() -> None:
        server = Server(tmp_path / "settings.toml", text)
        first, _ = await server.start()
        for name, times in (("small", 1), ("large@auto", 2), ("lost", 1)):
            for _ in range(times):
                await first.post(CHAT, json=chat(model=name))
        shown = (await first.get("/metrics")).text
        name = "thinkbudget_requests_total"
        ok = 'class="default",model="{}",outcome="ok",policy="{}"'
        assert f"{name}{{{ok.format('small', 'majority')}}} 1.0" in shown
        assert f"{name}{{{ok.format('large', 'priced')}}} 2.0" in shown
        assert 'thinkbudget_price{model="small"} 0.001' in shown
        assert (await first.get("/version")).json()["models"] == ["small", "large"]
        assert (await first.get("/health")).status_code == 200

    run_virtual(main())


class HeldGateways(LocalGateways):
    """A request of every model that is taken away runs on until it is released."""

    is_held = True

    async def left(self, model: str) -> int:
        return self.is_held or await super().left(model)


def test_a_model_that_comes_back_while_it_ends_is_refused(tmp_path: Path) -> None:
    top = "drain_seconds = 1000000.0\n" + TOP
    both = top + model("small") + model("large")

    async def main() -> None:
        server = Server(tmp_path / "settings.toml", both)
        gateways = HeldGateways(server.hostings)
        source = SettingsSource(str(server.file), {})
        server.reloader = Reloader(server.hostings[0], source, gateways, server.engines)
        first, _ = await server.start()
        server.write(top + model("small"))
        await reload(first)
        server.write(both)
        assert "still ending" in (await first.post("/admin/reload")).text
        gateways.is_held = False
        await asyncio.sleep(2)
        assert (await reload(first))["models_added"] == ["large"]
        assert (await first.post(CHAT, json=chat(model="large"))).status_code == 200

    run_virtual(main())


def test_keys_are_not_given_up_by_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    keys.create(file, "operator", role="admin")
    engine = {"engine": {"kind": "simulated"}}
    old = settings(engine | {"access": {"keys": str(file)}})
    plan = plan_reload(old, settings(engine))
    assert plan.restart == ("access",) and plan.settings.access == old.access


def test_what_a_reload_cannot_change_is_named_and_stays() -> None:
    old = settings({"models": {"a": {"engine": {"kind": "simulated"}}}})
    new = settings(
        {
            "gateways": 2,
            "models": {"a": {"engine": {"kind": "simulated", "seed": 1}, "answer_tokens": 64}},
        }
    )
    plan = plan_reload(old, new)
    assert plan.restart == ("gateways", "models.a.engine")
    assert plan.changed == ("models.a.answer_tokens",)
    assert plan.settings.models["a"].engine == old.models["a"].engine
    assert not any(plan_reload(old, old).as_dict().values())
    single = settings({"engine": {"kind": "simulated"}})
    assert plan_reload(single, new).restart == ("engine", "gateways", "models")
    assert plan_reload(single, new).settings.models == {}


def test_a_route_asks_the_large_model_while_it_is_learned_and_then_only_where_it_pays(
    tmp_path: Path,
) -> None:
    top = OPEN + 'policy = {name = "majority", options = {samples = 8}}\n'
    text = top + '[routes]\nauto = ["small", "large"]\n'
    text += model("small", "price = 0.00001\n") + model("large", "price = 0.9\n")

    async def main() -> None:
        server = Server(tmp_path / "settings.toml", text)
        first, _ = await server.start()
        asked = []
        for number in range(45):
            body = chat(f"easy question {number}", model="auto")
            reply = (await first.post(CHAT, json=body)).json()
            route = reply["thinkbudget"]["route"]
            asked.append([row["model"] for row in route])
            tokens = sum(row["tokens"] for row in route)
            assert reply["usage"]["completion_tokens"] == tokens
        assert asked[0] == ["small", "large"] and asked[-1] == ["small"]
        streamed = await first.post(CHAT, json=chat(model="auto", stream=True))
        assert '"model": "small"' in streamed.text and "[DONE]" in streamed.text
        listed = [card["id"] for card in (await first.get("/v1/models")).json()["data"]]
        assert listed[-1] == "auto"
        cheap = text.replace("price = 0.9", "price = 0.000001")
        server.write(cheap.replace('["small", "large"]', '["large", "small"]'))
        assert (await reload(first))["changed"] == ["routes", "models.large.price"]
        body = chat("easy question", model="auto")
        route = (await first.post(CHAT, json=body)).json()["thinkbudget"]["route"]
        assert route[0]["model"] == "large"

    run_virtual(main())


@pytest.mark.parametrize(
    ("routes", "word"),
    [({"auto": ["b"]}, "'b'"), ({"a": ["a"]}, "routes.a"), ({"auto": []}, "no model")],
)
def test_a_route_must_lead_to_models(routes: dict[str, list[str]], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        settings({"models": {"a": {"engine": {"kind": "simulated"}}}, "routes": routes})
