"""A model's name may say how to spend; bad names tell the ones there are."""

from typing import Any

import httpx
import pytest
from openai.types import Model

from scheduler.api.aliases import Alias, listed, resolve
from scheduler.errors import UnknownModel
from tests.scheduler.simulation import chat, client_of, make_controller, post

MODEL = "org/simulated"


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("org/simulated", Alias()),
        ("simulated", Alias()),
        ("simulated@auto", Alias("priced")),
        ("org/simulated@off", Alias("fixed")),
        ("simulated@fixed-0", Alias("fixed", cap=0)),
        ("simulated@fixed-2048", Alias("fixed", cap=2048)),
        ("simulated@vote-8", Alias("majority", samples=8)),
    ],
)
def test_an_alias_is_a_way_to_spend(name: str, alias: Alias) -> None:
    assert resolve(name, MODEL) == alias


@pytest.mark.parametrize(
    "name",
    [
        "gpt-9", "simulated@", "@auto", "simulated@vote-0", "simulated@vote-65", "simulated@vote-",
        "simulated@fixed--1", "simulated@fixed-9999999999", "simulated@auto@off", "simulated@AUTO",
    ],
)  # fmt: skip
def test_a_name_that_is_none_tells_those_there_are(name: str) -> None:
    with pytest.raises(UnknownModel) as refused:
        resolve(name, MODEL)
    assert all(there in refused.value.message for there in listed(MODEL))


def test_a_model_whose_own_name_has_the_sign_keeps_it() -> None:
    assert resolve("a@b", "a@b") == Alias()
    assert resolve("a@b@off", "a@b") == Alias("fixed")


def told(model: str, **server: Any) -> dict[str, Any]:
    reply = post(chat("hopeless question") | {"model": model}, **server)
    assert reply.status_code == 200, reply.text
    assert reply.json()["model"] == model
    account: dict[str, Any] = reply.json()["thinkbudget"]
    return account


def test_aliases_are_heeded_whatever_the_server_does() -> None:
    server = {"policy": "fixed", "extensions": 2, "min_thinking_tokens": 900}
    off = told("simulated@off", **server)
    assert (off["policy"], off["spent"]["extensions"], off["spent"]["chains"]) == ("fixed", 0, 1)
    assert off["spent"]["by_kind"]["reasoning"] < 900
    assert told("simulated@fixed-64", **server)["decision"]["budget_tokens"] == 64
    assert told("simulated@vote-5", **server)["decision"]["samples"] == 5
    assert told("simulated@auto", **server)["policy"] == "priced"


def test_what_a_request_says_itself_goes_before_its_alias() -> None:
    body = chat("hopeless question", thinking_budget=7) | {"model": "simulated@fixed-64"}
    assert post(body).json()["thinkbudget"]["decision"]["budget_tokens"] == 7
    body = chat(thinkbudget={"policy": "fixed"}) | {"model": "simulated@vote-5"}
    assert post(body).json()["thinkbudget"]["spent"]["chains"] == 1
    body = chat(thinkbudget={"samples": 2}) | {"model": "simulated@vote-5"}
    assert post(body).json()["thinkbudget"]["spent"]["chains"] == 2


async def test_models_are_listed_with_their_aliases() -> None:
    async with client_of(await make_controller()) as client:
        listing = (await client.get("/v1/models")).json()["data"]
        assert [card["id"] for card in listing] == [
            "simulated", "simulated@auto", "simulated@fixed-2048", "simulated@vote-8",
            "simulated@off",
        ]  # fmt: skip
        for card in listing:
            Model.model_validate(card)
            one: httpx.Response = await client.get(f"/v1/models/{card['id']}")
            assert one.json() == card
            assert card["max_model_len"] == 4096
        missing = await client.get("/v1/models/gpt-9")
        assert missing.status_code == 404
        assert missing.json()["error"]["code"] == "model_not_found"
