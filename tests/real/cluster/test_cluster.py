"""Real Ray and Ray Serve, simulated engines: placement, routing, scaling, and leaving in order."""

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from policies.plan import Budget
from scheduler.admission.access import AccessConfig
from scheduler.config import EngineConfig, ModelConfig, ScalingConfig, ServeConfig
from scheduler.engines.failover import FailoverEngine
from scheduler.engines.pool import EventBatch
from tests.endpoint import Endpoint, free_port
from workers.engine import SampleRequest
from workers.sample import Accepted, Sample

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

# A simulated chain runs at 1000 tokens a second.
SECOND = 1000
ENGINE = EngineConfig(kind="simulated", model="simulated", max_model_len=100 * SECOND)


def request(query: str, seconds: float, chains: int = 1) -> SampleRequest:
    tokens = int(seconds * SECOND)
    budget = Budget(tokens, tokens, answer_tokens=16)
    return SampleRequest(query, (("user", "easy question"),), tuple(range(chains)), budget)


def wait_until(what: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.1)


def engines(application: str) -> dict[str, int]:
    """Replicas of the engine by state."""
    from ray import serve

    states = serve.status().applications[application].deployments["EngineReplica"].replica_states
    return {state: count for state, count in states.items() if count}


def replicas(application: str) -> list[int]:
    """Process ids of the engine's replicas."""
    everything = psutil.process_iter(["cmdline"])
    mine = [
        p for p in everything if f":{application}:EngineReplica" in "".join(p.info["cmdline"] or ())
    ]
    return [process.pid for process in mine]


def called(
    application: str, asked: SampleRequest, home: str | None = None, avoid: tuple[str, ...] = ()
) -> AsyncGenerator[EventBatch]:
    from ray import serve

    from scheduler.cluster.remote import RemoteEnginePool

    fleet = RemoteEnginePool(serve.get_deployment_handle("EngineReplica", application))
    return fleet.call(asked, home, avoid)


async def samples(batches: AsyncGenerator[EventBatch]) -> list[Sample]:
    async with contextlib.aclosing(batches):
        events = [event async for batch in batches for event in batch.events]
    return [event for event in events if isinstance(event, Sample)]


async def sampled(
    application: str, asked: SampleRequest, home: str | None = None, avoid: tuple[str, ...] = ()
) -> list[Sample]:
    return await samples(called(application, asked, home, avoid))


async def filled(application: str, home: str, calls: int) -> list[asyncio.Task[list[Sample]]]:
    """So many long calls on one replica. Serve tells late of the end of earlier ones, which take
    their places until then: a call that is sent elsewhere for that is closed, and sent again.
    """
    ends, running = time.monotonic() + 60, list[asyncio.Task[list[Sample]]]()
    while len(running) < calls:
        assert time.monotonic() < ends, f"only {len(running)} calls were sent to {home}"
        batches = called(application, request(f"long{len(running)}", 15.0), home)
        if (await anext(batches)).replica == home:
            running.append(asyncio.create_task(samples(batches)))
        else:
            await batches.aclose()
            await asyncio.sleep(0.1)
    return running


async def heard_of(application: str, replicas: int) -> None:
    """Until all replicas answer: a gateway hears of them one by one."""
    ends, answered = time.monotonic() + 60, set[str]()
    while len(answered) < replicas:
        assert time.monotonic() < ends, f"only {answered} answer"
        calls = (sampled(application, request(f"h{n}", 0.2)) for n in range(2 * replicas))
        answered |= {one.replica for call in await asyncio.gather(*calls) for one in call}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Four GPUs that are only counted."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray import serve

    from scheduler.cluster import launch

    ray.init(
        address="local",
        num_cpus=3,
        num_gpus=4,
        include_dashboard=False,
        object_store_memory=100 << 20,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    serve.start(
        proxy_location="Disabled",
        controller_options={"runtime_env": {"env_vars": launch.CONTROLLER}},
    )
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    yield
    serve.shutdown()
    ray.shutdown()


@pytest.fixture
def deployed(cluster: None) -> Iterator[Callable[[ServeConfig], str]]:
    from ray import serve

    from scheduler.cluster.application import application

    names = []

    def deploy(config: ServeConfig) -> str:
        names.append(f"test-{time.monotonic_ns()}")
        serve.run(application(config), name=names[-1], route_prefix=None)
        return names[-1]

    yield deploy
    for name in names:
        serve.delete(name)


def test_a_query_stays_on_its_replica_unless_that_is_full_or_avoided(
    deployed: Callable[[ServeConfig], str],
) -> None:
    from dataclasses import replace

    name = deployed(ServeConfig(engine=replace(ENGINE, max_num_seqs=4), replicas=2))

    async def scenario() -> None:
        await heard_of(name, 2)
        (first,) = await sampled(name, request("q", 0.05))
        home = first.replica
        (again,) = await sampled(name, request("q", 0.05), home)
        assert again.replica == home
        full = await filled(name, home, 4)
        (spilled,) = await sampled(name, request("q", 0.05), home)
        assert spilled.replica != home
        (avoiding,) = await sampled(name, request("q", 0.05), spilled.replica, (spilled.replica,))
        assert avoiding.replica == home
        nowhere = tuple({home, spilled.replica})
        assert await sampled(name, request("q", 0.05), None, nowhere)
        assert {sample.replica for call in await asyncio.gather(*full) for sample in call} == {home}

    asyncio.run(scenario())


def test_a_chain_is_ended_on_the_replica_that_has_it(
    deployed: Callable[[ServeConfig], str],
) -> None:
    from ray import serve

    from scheduler.cluster.remote import RemoteEnginePool

    name = deployed(ServeConfig(engine=ENGINE, replicas=2))

    async def scenario() -> dict[int, str]:
        await heard_of(name, 2)
        pool = RemoteEnginePool(serve.get_deployment_handle("EngineReplica", name))
        engine, ended = FailoverEngine(pool), dict[int, str]()
        async for event in engine.sample(request("q", 60.0, chains=3)):
            if isinstance(event, Accepted):
                await engine.conclude("q", 0)
                await engine.cancel("q", 1)
                await pool.cancel("q", 2)  # all replicas are told
            if isinstance(event, Sample):
                ended[event.chain] = event.stop_cause
        await pool.cancel("q", replica="nobody")  # who is gone is not waited for
        return ended

    ended = asyncio.run(asyncio.wait_for(scenario(), 50))
    assert ended == {0: "early_exit", 1: "cancelled", 2: "cancelled"}


def test_calls_of_one_http_request_are_all_sent_though_they_share_its_id(
    deployed: Callable[[ServeConfig], str],
) -> None:
    from ray.serve.context import _RequestContext, _serve_request_context

    name = deployed(ServeConfig(engine=ENGINE, replicas=2))

    async def scenario() -> list[list[Sample]]:
        await heard_of(name, 2)
        _serve_request_context.set(_RequestContext(_internal_request_id="the same for all"))
        calls = [sampled(name, request(f"q{number}", 0.05)) for number in range(16)]
        return await asyncio.wait_for(asyncio.gather(*calls), 60)

    samples = [sample for call in asyncio.run(scenario()) for sample in call]
    assert len(samples) == 16
    assert len({sample.replica for sample in samples}) == 2


def test_a_replica_that_hangs_is_left_alone_and_then_replaced(
    deployed: Callable[[ServeConfig], str],
) -> None:
    name = deployed(ServeConfig(engine=ENGINE, replicas=2))
    (pid, _) = replicas(name)

    async def scenario() -> None:
        await heard_of(name, 2)
        os.kill(pid, signal.SIGSTOP)
        # More tokens than there can be earlier calls of whose end Serve has not told yet.
        stuck = [asyncio.create_task(sampled(name, request(f"s{n}", 2.0))) for n in range(4)]
        assert (await asyncio.wait(stuck, timeout=60, return_when=asyncio.FIRST_COMPLETED))[0]
        _, hanging = await asyncio.wait(stuck, timeout=6)
        assert hanging  # some went to the one that hangs, before anyone could know
        for number in range(8):
            await asyncio.wait_for(sampled(name, request(f"t{number}", 0.01)), 10)
        for task in hanging:
            task.cancel()

    try:
        asyncio.run(scenario())
        wait_until(lambda: len(set(replicas(name)) - {pid}) == 2, 240)
        wait_until(lambda: engines(name) == {"RUNNING": 2}, 120)
    finally:
        # Ray has given it up, and may yet leave a stopped process to itself.
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


def test_engines_come_with_owed_tokens_and_leave_without_losing_what_runs(
    deployed: Callable[[ServeConfig], str],
) -> None:
    scaling = ScalingConfig(3, 10 * SECOND, up_seconds=0.0, down_seconds=1.0, report_seconds=0.5)
    name = deployed(ServeConfig(engine=ENGINE, scaling=scaling, drain_seconds=30))
    assert engines(name) == {"RUNNING": 1}

    async def scenario() -> list[list[Sample]]:
        early = [asyncio.create_task(sampled(name, request(f"q{n}", 90))) for n in range(6)]
        await asyncio.to_thread(wait_until, lambda: engines(name).get("RUNNING", 0) == 3, 180)
        for task in early:
            task.cancel()
        # Little is owed now, so engines leave, but not before they have finished.
        return await asyncio.gather(*(sampled(name, request(f"r{n}", 5)) for n in range(3)))

    samples = [sample for call in asyncio.run(scenario()) for sample in call]
    assert {sample.stop_cause for sample in samples} == {"natural"}
    assert [sample.thinking_tokens for sample in samples] == [5 * SECOND] * 3
    wait_until(lambda: engines(name) == {"RUNNING": 1}, 180)


def test_engines_that_do_not_fit_are_told_and_the_others_serve(cluster: None) -> None:
    from ray import serve

    from scheduler.cluster.launch import start

    told: list[str] = []
    port = free_port()
    serve.shutdown()
    engine = EngineConfig(kind="simulated", model="simulated", tensor_parallel_size=2)
    start(ServeConfig(engine=engine, replicas=3, port=port), warn=told.append)
    assert len(told) == 1
    assert "2 of 3 engines fit: another needs 2 GPUs on one node, the cluster has 0 left" in told[0]
    assert engines("thinkbudget") == {"RUNNING": 2, "STARTING": 1}
    assert ask(port, 0.1).status_code == 200
    serve.delete("thinkbudget")

    impossible = EngineConfig(kind="simulated", model="simulated", tensor_parallel_size=8)
    with pytest.raises(ValueError, match="an engine needs 8 GPUs on one node, the cluster has"):
        start(ServeConfig(engine=impossible, port=free_port()))


def simulated_model(name: str, gpus: int, replicas: int) -> ModelConfig:
    engine = EngineConfig(kind="simulated", model=name, tensor_parallel_size=gpus)
    return ModelConfig(engine, replicas=replicas)


def test_engines_of_several_models_share_the_gpus(cluster: None) -> None:
    from ray import serve

    from scheduler.cluster.launch import start
    from scheduler.cluster.model_engines import application_of

    told: list[str] = []
    port = free_port()
    serve.shutdown()
    models = {"small": simulated_model("small", 1, 3), "large": simulated_model("large", 2, 1)}
    start(ServeConfig(models=models, port=port), warn=told.append)
    assert told == [
        "models.small: 2 of 3 engines fit: another needs 1 GPU, the cluster has 0 left; "
        "the others start as soon as they do"
    ]
    assert engines(application_of("thinkbudget", "large")) == {"RUNNING": 1}
    assert engines(application_of("thinkbudget", "small")) == {"RUNNING": 2, "STARTING": 1}
    for name in models:
        assert ask(port, 0.1, model=name).status_code == 200
    serve.shutdown()

    models["large"] = simulated_model("large", 8, 1)
    with pytest.raises(ValueError, match=r"models\.large: 0 of 1 engines fit: an engine needs 8"):
        start(ServeConfig(models=models, port=free_port()))


def test_serve_deploy_serves_several_models_out_of_one_application(cluster: None) -> None:
    from ray import serve

    from scheduler.cluster import launch
    from scheduler.cluster.application import build

    port = free_port()
    serve.shutdown()
    serve.start(
        http_options={"host": "127.0.0.1", "port": port},
        controller_options={"runtime_env": {"env_vars": launch.CONTROLLER}},
    )
    engine = {"kind": "simulated", "gpus": 0}
    models = {name: {"engine": engine | {"model": name}} for name in ("small", "large/2")}
    access = {"insecure_no_auth": True}
    serve.run(build({"models": models, "access": access}), name="thinkbudget", route_prefix="/")
    deployed = serve.status().applications["thinkbudget"].deployments
    assert {"EngineReplica-small", "EngineReplica-large_2"} < set(deployed)
    for name in models:
        reply = ask(port, 0.1, model=name)
        assert (reply.status_code, reply.json()["model"]) == (200, name)
    serve.delete("thinkbudget")


def test_an_application_on_the_cluster_is_replaced_only_when_asked(
    cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from ray import serve

    from scheduler.cluster import launch

    port = free_port()
    serve.shutdown()
    serve.start(
        http_options={"host": "0.0.0.0", "port": port},
        controller_options={"runtime_env": {"env_vars": launch.CONTROLLER}},
    )
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    without_keys = ServeConfig(engine=ENGINE, port=free_port())
    with pytest.raises(ValueError, match=r"host '0\.0\.0\.0' can be reached .* no keys are asked"):
        launch.start(without_keys)
    assert serve.status().applications == {}

    first = replace(without_keys, access=AccessConfig(insecure_no_auth=True))
    address = launch.start(first)
    assert address == f"http://0.0.0.0:{port}"
    # As many engines as there are GPUs: the second application needs those of the first.
    second = replace(first, engine=replace(ENGINE, model="another", tensor_parallel_size=4))
    with pytest.raises(ValueError, match="'thinkbudget' runs on this cluster already: .*--replace"):
        launch.start(second)
    assert served_model(port) == "simulated"
    assert launch.start(second, replace=True) == address
    wait_until(lambda: served_model(port) == "another", 60)
    serve.delete("thinkbudget")


def served_model(port: int) -> str:
    reply = httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=30)
    name: str = reply.json()["data"][0]["id"]
    return name


def body(seconds: float, **more: Any) -> dict[str, Any]:
    tokens = int(seconds * SECOND)
    budget = {"policy": "fixed", "max_thinking_tokens": tokens, "min_thinking_tokens": tokens}
    messages = [{"role": "user", "content": "easy question"}]
    return {"model": "simulated", "messages": messages, "thinkbudget": budget} | more


def ask(port: int, seconds: float, **more: Any) -> httpx.Response:
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return httpx.post(url, json=body(seconds, **more), timeout=200)


def streamed(port: int, seconds: float, begun: threading.Semaphore) -> str:
    """The whole stream, or all of it that came; tells when it has begun."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    lines: list[str] = []
    with httpx.stream("POST", url, json=body(seconds, stream=True), timeout=200) as reply:
        try:
            for line in reply.iter_lines():
                lines.append(line)
                if len(lines) == 1:
                    begun.release()
        except httpx.HTTPError as error:
            lines.append(repr(error))
    return "\n".join(lines)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Endpoint]:
    flags = ["--engine", "simulated", "--model", "simulated", "--replicas", "2"]
    flags += ["--gateways", "2", "--drain-timeout", "180", "--store", str(tmp_path / "s.db")]
    # As whoever starts it may have it set for replicas: the command has no event loop.
    made = Endpoint(*flags, env=os.environ | {"RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0"})
    try:
        made.wait()
        yield made
    finally:
        if made.process.poll() is None:
            os.killpg(made.process.pid, signal.SIGKILL)


@pytest.mark.parametrize("begun", ["raylet", "ray::ServeController"])
def test_a_server_that_is_told_to_end_while_it_starts_leaves_no_process(begun: str) -> None:
    made = Endpoint("--engine", "simulated", "--model", "simulated")
    process = psutil.Process(made.process.pid)

    def is_begun() -> bool:
        return any(begun in " ".join(one.cmdline()) for one in process.children(recursive=True))

    try:
        wait_until(is_begun, 60)
        members = made.members()
        made.process.terminate()
        assert made.process.wait(timeout=60) == 1
        assert "Aborted!" in made.said() and "serving" not in made.said()
        wait_until(lambda: not any(map(psutil.pid_exists, members)), 30)
    finally:
        if made.process.poll() is None:
            os.killpg(made.process.pid, signal.SIGKILL)


def test_a_server_that_is_told_to_end_loses_no_request_and_no_outcome(
    served: Endpoint, tmp_path: Path
) -> None:
    from scheduler.store.outcome_store import OutcomeStore
    from scheduler.store.queries import find

    process, port = served.process, served.port
    members = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    with ThreadPoolExecutor(24) as pool:
        begun = threading.Semaphore(0)
        running = [pool.submit(streamed, port, 3.9, begun) for _ in range(20)]
        assert all(begun.acquire(timeout=30) for _ in running)
        process.terminate()
        answered, ends = 20, time.monotonic() + 60
        while (refused := ask(port, 0.01)).status_code == 200:
            assert time.monotonic() < ends, "requests are still let in"
            answered += 1
            time.sleep(0.1)
        texts = [future.result() for future in running]
    process.wait(timeout=200)
    said = served.said()
    cut = [text[-600:] for text in texts if not text.rstrip().endswith("data: [DONE]")]
    assert (cut, process.returncode) == ([], 0), said
    assert not any('"error"' in text for text in texts)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "draining"
    assert int(refused.headers["Retry-After"]) > 0
    assert "cut off" not in said
    assert [pid for pid in members if psutil.pid_exists(pid)] == []
    with OutcomeStore(f"{tmp_path}/s.db", reads=True) as store, store.transaction() as connection:
        assert len({line["id"] for line in find(connection)}) == answered
    assert list((tmp_path / "s.db.spool").iterdir()) == []
