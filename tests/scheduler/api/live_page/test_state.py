"""The live page without a browser: what its snapshot holds, who may read it, what it costs."""

import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from scheduler.admission.access import AccessConfig
from scheduler.api.app import make_app
from scheduler.api.keys import create
from scheduler.api.live_page.files import PATHS, page_file
from scheduler.api.live_page.routes import MAX_POLLS, SharedState
from scheduler.engines.failover import FailoverEngine
from scheduler.engines.local_pool import LocalEnginePool
from scheduler.solving.activity import DECISIONS
from scheduler.solving.controller import Controller
from tests.builders import ManualClock
from tests.scheduler.simulation import CHAT, chat, make_controller
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import reference

STATE = "/ui/state"
MOST_BYTES = 300_000


def client(controller: Controller, **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(make_app(controller, **options))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def state_of(controller: Controller, *bodies: dict[str, Any]) -> dict[str, Any]:
    async with client(controller) as caller:
        for body in bodies:
            await caller.post(CHAT, json=body)
        state: dict[str, Any] = (await caller.get(STATE)).json()
        return state


def asked(question: str, name: str, **fields: Any) -> dict[str, Any]:
    budget = {"reference_answer": reference(question)}
    return chat(question, metadata={"query_class": name}, thinkbudget=budget, **fields)


async def test_a_fresh_server_has_empty_views() -> None:
    state = await state_of(await make_controller(policy="priced"))
    for name in ("slices", "tokens", "tenants", "decisions"):
        assert state[name] == []
    assert state["curves"] == {"count": 0, "classes": []}
    assert state["requests"] == {}
    assert state["fleet"]["is_up"] is True
    assert state["price"]["per_token"] == pytest.approx(3e-4)


async def test_what_was_asked_shows_in_every_view() -> None:
    controller = await make_controller(policy="priced")
    bodies = [asked(f"easy question {number}", "sums", user="eve") for number in range(60)]
    state = await state_of(controller, *bodies, chat() | {"temperature": 9})
    cells = state["tokens"]
    assert sum(cell["queries"] for cell in cells) == 60
    spent = sum(sum(cell["kinds"].values()) for cell in cells)
    assert spent == controller.ledger.spent == state["tenants"][0]["tokens"]
    assert {cell["class"] for cell in cells} == {"sums"}
    assert sum(row[1] for row in state["slices"]) == 60
    (curve,) = state["curves"]["classes"]
    # The store fits again when a class has grown by a tenth.
    assert curve["class"] == "sums" and 50 < curve["queries"] <= 60
    assert curve["lines"] and curve["chosen"][0]["worth"] == max(
        plan["worth"] for plan in curve["chosen"]
    )
    for served in curve["served"].values():
        assert 0 <= served["low"] <= served["accuracy"] <= served["high"] <= 1
    assert 0 < sum(served["checked"] for served in curve["served"].values()) <= 60
    assert len(state["decisions"]) == DECISIONS
    assert all(each["correct"] in (True, False) for each in state["decisions"])
    assert state["requests"] == {"ok": 60, "invalid_value": 1}


async def test_no_text_of_a_query_and_no_name_of_a_user_is_told() -> None:
    state = await state_of(
        await make_controller(policy="priced"), asked("easy question of mine", "sums", user="eve")
    )
    assert "question of mine" not in json.dumps(state)
    assert '"eve"' not in json.dumps(state)
    assert state["tenants"][0]["name"].startswith("user ")


async def test_every_decision_has_a_reason_with_its_figures() -> None:
    controller = await make_controller(policy="priced")
    bodies = [asked(f"easy question {number}", "sums") for number in range(40)]
    reasons = [each["reason"] for each in (await state_of(controller, *bodies))["decisions"]]
    assert all(reason.endswith(".") for reason in reasons)
    assert any("worth" in reason and "Next: " in reason for reason in reasons)
    fixed = await state_of(await make_controller(policy="fixed"), chat())
    assert fixed["decisions"][0]["reason"] == "Policy fixed decides without the curves."


async def test_the_fleet_tells_what_each_engine_owes_and_which_is_gone() -> None:
    pool = LocalEnginePool(lambda name: SimulatedEngine(replica=name), ("a", "b"))
    controller = await make_controller(FailoverEngine(pool), policy="fixed")
    async with client(controller) as caller:
        before = (await caller.get(STATE)).json()["fleet"]
        assert [each["name"] for each in before["replicas"]] == ["a", "b"]
        assert all(each["owed_tokens"] == 0 for each in before["replicas"])
        pool.kill("a")
        # Without "b" the next call would wait; it notices the death of "a" by a call there.
    health = controller.engine._health  # type: ignore[attr-defined]
    health.unavailable("a", 0.0)
    statuses = await controller.engine.replica_statuses()  # type: ignore[attr-defined]
    assert [(each.name, each.is_gone) for each in statuses] == [("b", False), ("a", True)]


@pytest.mark.parametrize(
    ("role", "status"),
    [("viewer", 200), ("admin", 200), ("inference", 403), ("metrics", 403), (None, 401)],
)
async def test_figures_need_a_key_and_files_do_not(
    tmp_path: Path, role: str | None, status: int
) -> None:
    keys = tmp_path / "keys.jsonl"
    create(keys, "somebody", role="admin")
    secret = create(keys, "looker", role=role) if role else ""
    access = AccessConfig(keys=str(keys))
    headers = {"authorization": f"Bearer {secret}"} if role else {}
    async with client(await make_controller(), access=access) as caller:
        assert (await caller.get(STATE, headers=headers)).status_code == status
        assert (await caller.get("/ui/")).status_code == 200
        if role == "viewer":
            assert (await caller.get("/metrics", headers=headers)).status_code == 200
            refused = await caller.post(CHAT, json=chat(), headers=headers)
            assert refused.status_code == 403


async def test_one_setting_turns_the_page_off() -> None:
    controller = await make_controller()
    async with client(controller, live_page=False) as caller:
        for path in (STATE, "/ui", "/ui/", "/ui/page.js"):
            assert (await caller.get(path)).status_code == 404
        await caller.post(CHAT, json=chat())
    assert controller.activity is None


async def test_the_page_loads_nothing_from_elsewhere_and_is_small() -> None:
    whole = 0
    async with client(await make_controller()) as caller:
        for path in PATHS:
            reply = await caller.get(path, follow_redirects=True)
            assert reply.status_code == 200
            assert "default-src 'none'" in reply.headers["content-security-policy"]
            text = reply.text.replace("http://www.w3.org/2000/svg", "")
            assert "http://" not in text and "https://" not in text
            etag = reply.headers["etag"]
            again = await caller.get(reply.url.path, headers={"if-none-match": etag})
            assert (again.status_code, again.content) == (304, b"")
        whole = sum(len(page_file(name).body) for name in set(PATHS.values()))
    assert whole < MOST_BYTES


async def test_all_pages_share_one_snapshot_and_many_poll_less_often() -> None:
    taken = 0

    async def take() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"number": taken}

    clock = ManualClock()
    shared = SharedState(take, clock)
    for _ in range(50):
        assert json.loads(gzip.decompress(await shared.get()))["number"] == 1
    clock.now = 0.9
    await shared.get()
    assert taken == 1
    for second in range(1, 60):
        clock.now = float(second)
        for _ in range(round(100 / shared.poll_seconds)):  # 100 pages that do as they are told
            last = json.loads(gzip.decompress(await shared.get()))
    assert taken < 25
    assert 100 / last["poll_seconds"] <= 1.1 * MAX_POLLS
