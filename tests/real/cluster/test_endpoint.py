"""The whole server: real Ray Serve, real vLLM, the embedded model, and the openai client."""

import json
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from tests.commands import run_command
from tests.endpoint import Endpoint
from workers.models import POCKET_FOLDER

# The warnings of torch and vLLM are not ours to mend.
pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

EXAMPLES = Path(__file__).parents[3] / "examples"
QUESTION = "a=3 b=a*7-2+5 c=b+4*3 c?"


@pytest.fixture(scope="module")
def client(endpoint: Endpoint) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{endpoint.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, question: str = QUESTION, **budget: Any) -> Any:
    return client.chat.completions.create(
        model="s1-pocket",
        messages=[{"role": "user", "content": question}],
        extra_body={"thinkbudget": budget},
    )


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()][:2] == ["s1-pocket", "s1-pocket@auto"]


def test_a_reply_has_an_answer_its_reasoning_and_its_cost(client: openai.OpenAI) -> None:
    reply = ask(client, policy="fixed")
    message = reply.choices[0].message
    assert message.content.startswith("Final Answer:")
    assert "b=" in message.reasoning
    assert reply.choices[0].finish_reason == "stop"
    spent = reply.thinkbudget["spent"]
    assert reply.usage.completion_tokens == spent["tokens"] == sum(spent["by_kind"].values())
    assert reply.usage.prompt_tokens > 20


@pytest.mark.parametrize("cap", [0, 3, 20])
def test_a_cap_holds_over_http(client: openai.OpenAI, cap: int) -> None:
    reply = ask(client, policy="fixed", max_thinking_tokens=cap)
    assert reply.thinkbudget["spent"]["by_kind"]["reasoning"] <= cap
    assert reply.thinkbudget["violations"] == []


def test_extensions_over_http_are_exact(client: openai.OpenAI) -> None:
    reply = ask(client, policy="fixed", extensions=3)
    assert reply.thinkbudget["spent"]["extensions"] == 3
    assert reply.choices[0].message.reasoning.count("Wait") == 3


def test_votes_are_as_many_as_asked(client: openai.OpenAI) -> None:
    reply = ask(client, policy="majority", samples=5)
    assert reply.thinkbudget["spent"]["chains"] == 5
    assert 0.2 <= reply.thinkbudget["agreement"] <= 1


def test_a_stream_says_what_the_whole_reply_says(client: openai.OpenAI) -> None:
    whole = ask(client, policy="fixed", extensions=1)
    chunks = list(
        client.chat.completions.create(
            model="s1-pocket",
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"thinkbudget": {"policy": "fixed", "extensions": 1}},
        )
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    content = "".join(delta.content or "" for delta in deltas)
    reasoning = "".join(getattr(delta, "reasoning", None) or "" for delta in deltas)
    assert content == whole.choices[0].message.content
    assert reasoning == whole.choices[0].message.reasoning
    assert len(deltas) > 5
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_bad_requests_name_the_field(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, policy="fixed", max_thinking_tokens=-1)
    assert refused.value.param == "thinkbudget.max_thinking_tokens"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "hi"}])
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        ask(client, "a=3 " * 2000)
    assert long.value.code == "context_length_exceeded"


def test_labelled_traffic_teaches_a_curve(client: openai.OpenAI, endpoint: Endpoint) -> None:
    lines = (POCKET_FOLDER / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    easy = [fields for line in lines if (fields := json.loads(line))["class"] == "easy"][:24]

    def one(fields: dict[str, str]) -> Any:
        return ask(
            client,
            fields["question"],
            policy="priced",
            query_class="taught",
            reference_answer=fields["answer"],
        )

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(one, easy))
    assert {reply.thinkbudget["policy"] for reply in replies} == {"priced"}
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        curves = httpx.get(f"{endpoint.url}/v1/thinkbudget/curves").json()["classes"]
        taught = [line["curve"] for line in curves if line["class"] == "taught"]
        if taught and taught[0]["queries"] >= 20:
            break
        time.sleep(0.3)
    assert taught[0]["labelled"] >= 20
    assert {point["kind"] for point in taught[0]["points"]} >= {"extensions", "votes"}


def test_traces_are_collected_over_http_and_replayed(endpoint: Endpoint, tmp_path: Path) -> None:
    thinkbudget = [sys.executable, "-m", "thinkbudget"]
    flags = ["--limit", "4", "--samples", "3", "--extensions", "2", "-o", str(tmp_path / "traces")]
    done = run_command([*thinkbudget, "collect", "pocket", "--url", endpoint.url, *flags])
    assert done.returncode == 0, done.stderr
    (log,) = (tmp_path / "traces" / "outcomes").glob("*.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 4
    for line in lines:
        chains = {each["chain"]: each for each in line["samples"]}
        assert len(chains) == 4
        for each in chains.values():
            assert each["confidence"]["mean"] > 0
            powers = [at for at in (16, 32, 64) if at <= each["thinking_tokens"]]
            tried = [trial["thinking_tokens"] for trial in each["probes"]]
            assert each["extensions"] or set(powers) <= set(tried)
    again = tmp_path / "again.toml"
    again.write_text(
        f'engine = {{ kind = "replayed", recording = "{log.parent}" }}\n'
        'policies = { votes = { policy = "majority", samples = 3 }, one = { policy = "fixed" } }'
    )
    ran = run_command([*thinkbudget, "experiment", "run", str(again), "-o", str(tmp_path / "runs")])
    assert ran.returncode == 0, ran.stderr


def test_a_batch_runs_over_http_and_resumes(endpoint: Endpoint, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    body = {"model": "s1-pocket", "messages": [{"role": "user", "content": QUESTION}]}
    lines = [json.dumps({"custom_id": f"line-{n}", "body": body}) for n in range(12)]
    source.write_text("\n".join([*lines, "not json"]), encoding="utf-8")
    command = [sys.executable, "-m", "thinkbudget", "batch", "run", str(source), "-o", str(out)]
    command += ["--url", endpoint.url, "--concurrency", "4"]
    first = run_command(command)
    assert first.returncode == 3, first.stderr
    whole = out.read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(whole) == 12
    out.write_text("".join(whole[:5]) + whole[5][:40], encoding="utf-8")
    again = run_command(command)
    assert "7 answered, 5 done before, 1 failed" in again.stdout
    ids = [json.loads(line)["custom_id"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert sorted(ids) == sorted(f"line-{n}" for n in range(12))


def test_the_example_asks_with_openais_client(endpoint: Endpoint) -> None:
    done = run_command([sys.executable, EXAMPLES / "ask.py", endpoint.url])
    assert done.returncode == 0, done.stderr
    assert re.search(r"^answer: \S", done.stdout, re.MULTILINE)
    spent = re.search(r"^tokens: (\d+) chains: (\d+)$", done.stdout, re.MULTILINE)
    assert spent is not None
    assert 0 < int(spent[1]) <= 1000 and int(spent[2]) >= 1


def test_a_taken_port_is_told_with_the_flag_that_changes_it(endpoint: Endpoint) -> None:
    command = [sys.executable, "-m", "thinkbudget", "serve", "--port", str(endpoint.port)]
    told = run_command(command)
    assert told.returncode == 2
    assert f"port {endpoint.port}" in told.stderr and "--port" in told.stderr


def cores(endpoint: Endpoint) -> list[psutil.Process]:
    members = [psutil.Process(pid) for pid in endpoint.members()]
    return [process for process in members if "EngineCore" in "".join(process.cmdline())]


def test_a_dead_engine_is_replaced_and_its_queries_are_answered(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    (core,) = cores(endpoint)
    replica = core.parent()
    assert replica is not None
    long: dict[str, Any] = {
        "policy": "fixed",
        "max_thinking_tokens": 1500,
        "min_thinking_tokens": 1500,
    }
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask, client, **long) for _ in range(3)]
        time.sleep(1.0)
        core.kill()
        replica.wait(timeout=10)  # it leaves at once, and does not wait to be found sick
        replies = [future.result(timeout=240) for future in asked]
    for reply in replies:
        assert reply.choices[0].message.content.startswith("Final Answer:")
        assert reply.thinkbudget["violations"] == []
    (successor,) = cores(endpoint)
    assert successor.pid != core.pid
    assert httpx.get(f"{endpoint.url}/health", timeout=30).status_code == 200


def test_an_engine_restarts_under_load_and_no_request_fails(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    (core,) = cores(endpoint)
    done: list[Any] = []

    def ask_until_it_is_back(number: int) -> int:
        count = 0
        while not done or not count:
            if number:
                assert ask(client, policy="fixed").choices[0].finish_reason == "stop"
            else:
                messages: Any = [{"role": "user", "content": QUESTION}]
                stream: Any = client.chat.completions.create(
                    model="s1-pocket", messages=messages, stream=True
                )
                assert [*stream][-1].choices[0].finish_reason == "stop"
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask_until_it_is_back, number) for number in range(3)]
        time.sleep(1.0)
        try:
            reply = httpx.post(f"{endpoint.url}/admin/restart", json={}, timeout=300)
        finally:
            done.append(True)
        assert all(future.result(timeout=240) >= 1 for future in asked)
    assert reply.json() == {"restarted": {"s1-pocket": 1}}
    (successor,) = cores(endpoint)
    assert successor.pid != core.pid
    reloaded = httpx.post(f"{endpoint.url}/admin/reload", timeout=60).json()
    assert not any(reloaded.values())


def test_an_interrupt_leaves_no_process_behind(endpoint: Endpoint) -> None:
    """Last, because it ends the endpoint."""
    members = endpoint.members()
    assert len(members) > 3
    assert endpoint.interrupt() == 0
    ends = time.monotonic() + 20
    while time.monotonic() < ends and any(map(psutil.pid_exists, members)):
        time.sleep(0.2)
    assert [pid for pid in members if psutil.pid_exists(pid)] == []
