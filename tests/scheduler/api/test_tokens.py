"""What the engine's tokenizer says over HTTP, as vLLM's endpoints tell it."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.scheduler.simulation import chat, client_of, make_controller
from workers.drivers.chain_engine import ChainEngine, ChainOptions
from workers.format import S1, bind
from workers.models import POCKET_FOLDER
from workers.simulated.engine import SimulatedEngine
from workers.simulated.toy_core import ToyCore

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "größe 😀 b?"}]


def toy() -> Any:
    transformers = pytest.importorskip("transformers")
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
        str(POCKET_FOLDER), local_files_only=True
    )
    format_ = bind(S1, tokenizer)
    core = ToyCore(format_, tokenizer.encode("abc"), vocabulary=len(tokenizer))
    return ChainEngine(core, format_, ChainOptions("simulated"))


@pytest.fixture(params=[toy, SimulatedEngine])
def engine(request: pytest.FixtureRequest) -> Any:
    return request.param()


def asked(engine: Any, *calls: tuple[str, str, Any]) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        async with client_of(await make_controller(engine)) as client:
            return [await client.request(how, path, json=body) for how, path, body in calls]

    return asyncio.run(main())


def post(engine: Any, path: str, **body: Any) -> httpx.Response:
    return asked(engine, ("POST", path, body))[0]


@pytest.mark.parametrize("text", ["a=3 b=a*3 b?", "größe 😀", "one\n two"])
def test_a_text_is_its_tokens_and_back(engine: Any, text: str) -> None:
    body = post(engine, "/tokenize", prompt=text, add_special_tokens=False).json()
    assert body["count"] == len(body["tokens"]) > 0
    assert body["token_strs"] is None
    assert body["max_model_len"] == 4096
    back = post(engine, "/detokenize", model="simulated", tokens=body["tokens"])
    assert back.json() == {"prompt": text}
    named = post(engine, "/tokenize", prompt=text, return_token_strs=True).json()
    assert len(named["token_strs"]) == named["count"]


def test_a_conversation_has_the_tokens_that_usage_counts(engine: Any) -> None:
    told = asked(
        engine,
        ("POST", "/tokenize", {"model": "simulated", "messages": TURNS}),
        ("POST", "/v1/messages/count_tokens", {"model": "simulated", "system": "Be brief.",
                                               "messages": TURNS[1:]}),
        ("POST", "/v1/chat/completions", chat() | {"messages": TURNS}),
    )  # fmt: skip
    counts, counted, reply = [each.json() for each in told]
    assert counts["count"] == counted["input_tokens"] == reply["usage"]["prompt_tokens"]


def test_a_conversation_may_stay_closed() -> None:
    whole = post(toy(), "/tokenize", messages=TURNS).json()["tokens"]
    closed = post(toy(), "/tokenize", messages=TURNS, add_generation_prompt=False).json()["tokens"]
    assert whole[: len(closed)] == closed and len(closed) < len(whole)


def test_the_tokenizer_is_described_without_paths(engine: Any) -> None:
    (reply,) = asked(engine, ("GET", "/tokenizer_info", None))
    assert reply.json()["tokenizer_class"]
    assert "/" not in str(reply.json().get("name_or_path", ""))


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "x", "messages": TURNS}, "prompt"),
        ("/tokenize", {"prompt": 7}, "prompt"),
        ("/tokenize", {"messages": []}, "messages"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens"),
        ("/detokenize", {"tokens": [2**31 - 1]}, "tokens"),
        ("/detokenize", {"tokens": ["a"]}, "tokens"),
        ("/v1/messages/count_tokens", {"model": "simulated"}, "messages"),
    ],
)
def test_what_is_wrong_is_named(engine: Any, path: str, body: Any, field: str) -> None:
    (reply,) = asked(engine, ("POST", path, body))
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["param"].startswith(field)


def test_another_model_is_not_found(engine: Any) -> None:
    assert post(engine, "/tokenize", model="gpt", prompt="x").status_code == 404
    assert post(engine, "/detokenize", tokens=[]).json() == {"prompt": ""}
