"""What would change an answer and is not heeded is told back by name, and nothing else is."""

from typing import Any

import pytest

from scheduler.api.ignored_fields import MOST_NAMES, unheeded
from scheduler.api.protocol import parse
from tests.scheduler.simulation import chat, post
from workers.simulated.engine import SimulatedEngine


def names(seeds: bool = True, **fields: Any) -> tuple[str, ...]:
    body = chat(**fields)
    return unheeded(body, parse(body), seeds=seeds)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"max_reasoning_tokens": 5}, ("max_reasoning_tokens",)),
        ({"thinkingLevel": "high", "budget_forcing": 1}, ("thinkingLevel", "budget_forcing")),
        ({"guided_json": {}}, ("guided_json",)),
        ({"reasoning": {"maxtokens": 5, "summary": "auto"}}, ("reasoning.maxtokens",)),
        ({"chat_template_kwargs": {"thinking_level": 1}}, ("chat_template_kwargs.thinking_level",)),
        ({"presence_penalty": 1.0, "top_k": 5}, ("presence_penalty", "top_k")),
        ({"ignore_eos": True, "separate_reasoning": False}, ("ignore_eos", "separate_reasoning")),
        ({"seed": 7}, ()),
        ({"seed": 7, "seeds": False}, ("seed",)),
        ({"presence_penalty": 0, "logit_bias": {}, "ignore_eos": False, "top_k": None}, ()),
        ({"store": True, "color": "blue", "prompt_cache_key": "a", "user": "b"}, ()),
        ({"thinking\r\nset-cookie: a": 1, "denkbudget\u00fc": 2}, ()),
    ],
    ids=str,
)
def test_names_of_what_was_not_heeded(fields: dict[str, Any], told: tuple[str, ...]) -> None:
    assert names(**fields) == told


def test_not_every_name_is_told() -> None:
    many: dict[str, Any] = {f"budget{n}": 1 for n in range(99)}
    assert len(names(**many)) == MOST_NAMES


@pytest.mark.parametrize("streamed", [False, True])
def test_names_come_in_a_header_of_every_reply(streamed: bool) -> None:
    reply = post(chat(stream=streamed, thinking_level="high", top_k=3), engine=SimulatedEngine())
    assert reply.status_code == 200
    assert reply.headers["x-thinkbudget-ignored-fields"] == "thinking_level, top_k"
    assert "x-thinkbudget-ignored-fields" not in post(chat(stream=streamed)).headers
