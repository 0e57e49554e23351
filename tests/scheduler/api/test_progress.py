"""A stream that tells of chains and votes (`thinkbudget.progress`)."""

import json
from typing import Any

import pytest

from tests.scheduler.simulation import chat, post


def chunks(progress: bool, **budget: Any) -> list[dict[str, Any]]:
    reply = post(chat(stream=True, thinkbudget={"progress": progress, **budget}))
    frames = reply.text.split("\n\n")
    return [json.loads(frame[6:]) for frame in frames if frame.startswith("data: {")]


def progress_of(chunk: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = chunk.get("thinkbudget", {}).get("progress", {})
    return found


def test_every_chain_begins_in_a_round_and_ends_with_its_vote() -> None:
    told = [each for each in map(progress_of, chunks(True, policy="majority", samples=4)) if each]
    assert [each["event"] for each in told] == ["round", *["chain"] * 4]
    assert told[0]["kind"] == "draw"
    assert sorted(told[0]["chains"]) == sorted(each["chain"] for each in told[1:]) == [0, 1, 2, 3]
    assert all(each["thinking_tokens"] > 0 and each["answer"] for each in told[1:])


def test_an_extension_is_a_round_of_the_same_chain() -> None:
    told = chunks(True, policy="fixed", extensions=2)
    (end,) = [
        each for each in told if each.get("thinkbudget", {}).get("progress", {}).get("answer")
    ]
    assert end["thinkbudget"]["progress"]["extensions"] == 2
    assert end["choices"] == []


@pytest.mark.parametrize("policy", ["fixed", "majority"])
def test_it_is_told_to_nobody_who_did_not_ask(policy: str) -> None:
    assert all(
        "progress" not in chunk.get("thinkbudget", {}) for chunk in chunks(False, policy=policy)
    )
