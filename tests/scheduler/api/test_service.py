"""What operators ask: health, readiness, version, metrics."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scheduler.api.service import CHECK_SECONDS
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller
from workers.simulated.engine import SimulatedEngine


class Hanging(SimulatedEngine):
    async def check(self) -> None:
        await asyncio.sleep(3600)


async def test_health_says_why_no_engine_is_healthy() -> None:
    engine = SimulatedEngine()
    async with client_of(await make_controller(engine)) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        engine.kill()
        sick = await client.get("/health")
        assert (sick.status_code, sick.headers["retry-after"]) == (503, "5")
        assert "no engine is healthy" in sick.json()["error"]["message"]
        assert (await client.get("/ready")).status_code == 200


async def test_an_engine_that_hangs_is_not_healthy_either() -> None:
    async with client_of(await make_controller(Hanging())) as client:
        began = asyncio.get_running_loop().time()
        reply = await client.get("/health")
        assert asyncio.get_running_loop().time() - began == pytest.approx(CHECK_SECONDS)
        assert reply.status_code == 503
        assert "no answer in time" in reply.json()["error"]["message"]


async def test_a_server_that_drains_is_alive_but_not_ready() -> None:
    controller = await make_controller()
    async with client_of(controller) as client:
        assert (await client.get("/ready")).json() == {"status": "ready"}
        controller.admission.draining = True
        reply = await client.get("/ready")
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "draining")
        assert (await client.get("/health")).status_code == 200
        refused = await client.post(CHAT, json=chat())
        assert refused.json()["error"]["code"] == "draining"
        text = (await client.get("/metrics")).text
        assert 'thinkbudget_admission_rejections_total{reason="draining"} 1.0' in text


async def test_the_version_tells_what_runs() -> None:
    async with client_of(await make_controller()) as client:
        told = (await client.get("/version")).json()
        assert (told["model"], told["max_model_len"]) == ("simulated", 4096)
        assert told["version"][0].isdigit()
        assert "ray" in told["parts"]


async def test_metrics_are_of_the_moment_and_parse() -> None:
    engine = SimulatedEngine()
    async with client_of(await make_controller(engine)) as client:
        await client.post(CHAT, json=chat())
        for up in (1.0, 0.0):
            reply = await client.get("/metrics")
            assert reply.headers["content-type"].startswith("text/plain; version=")
            families = {f.name: f for f in text_string_to_metric_families(reply.text)}
            assert families["thinkbudget_engine_up"].samples[0].value == up
            engine.kill()
        assert families["thinkbudget_requests"].samples[0].labels == {
            "policy": "fixed", "class": "default", "outcome": "ok",
        }  # fmt: skip
