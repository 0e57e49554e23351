"""From a chat request to the reply that OpenAI's clients expect, or to a refusal they can read."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import POLICIES
from scheduler.api import chat as subject
from scheduler.api.chat_stream import stream
from scheduler.api.protocol import BudgetOptions, ChatRequest
from scheduler.errors import RequestError
from tests.scheduler.simulation import chat, make_controller, post
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import reference


def replied(body: dict[str, Any], **server: Any) -> dict[str, Any]:
    """The reply of a fresh server; the body must be good."""

    async def main() -> dict[str, Any]:
        return await subject.complete(await make_controller(**server), body)

    return run_virtual(main())


def test_a_reply_has_openais_shape() -> None:
    reply = replied(chat("easy question"))
    (choice,) = reply["choices"]
    message = choice["message"]
    assert reply["object"] == "chat.completion"
    assert reply["id"].startswith("chatcmpl-")
    assert reply["model"] == "simulated"
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert message["role"] == "assistant"
    assert message["content"].startswith("Final Answer: ")
    assert message["reasoning"] == message["reasoning_content"] != ""


def test_the_model_may_be_named_without_its_organisation() -> None:
    body = chat() | {"model": "s1-32B"}
    assert replied(body, engine=SimulatedEngine(model="simplescaling/s1-32B"))["model"] == "s1-32B"


def test_usage_counts_every_chain() -> None:
    reply = replied(chat("medium question", thinkbudget={"policy": "majority", "samples": 5}))
    usage, spent = reply["usage"], reply["thinkbudget"]["spent"]
    kinds = spent["by_kind"]
    assert spent["chains"] == 5
    assert usage["completion_tokens"] == spent["tokens"] == sum(kinds.values())
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] == 6
    details = usage["completion_tokens_details"]
    assert details == {f"{kind}_tokens": count for kind, count in kinds.items()}
    assert kinds.keys() == {"reasoning", "answer", "forced", "probe", "discarded"}
    assert 0 < spent["selected_tokens"] < spent["tokens"]


def test_the_reply_tells_what_was_decided_and_spent() -> None:
    told = replied(
        chat("easy question", thinkbudget={"policy": "fixed", "extensions": 2, "query_class": "x"})
    )["thinkbudget"]
    assert told.keys() == {
        "policy", "plan", "query_class", "effort", "decision", "answer", "stop_reason", "agreement",
        "predicted_accuracy", "predicted_tokens", "price", "spent", "violations", "outcome_id",
        "chance", "correct",
    }  # fmt: skip
    assert (told["policy"], told["query_class"], told["stop_reason"]) == ("fixed", "x", "plan done")
    assert (told["agreement"], told["spent"]["extensions"]) == (1.0, 2)
    assert told["violations"] == []


def test_the_class_may_come_in_the_metadata() -> None:
    told = replied(chat(metadata={"query_class": "sums"}))["thinkbudget"]
    assert told["query_class"] == "sums"
    both = chat(metadata={"query_class": "sums"}, thinkbudget={"query_class": "words"})
    assert replied(both)["thinkbudget"]["query_class"] == "words"
    assert replied(chat())["thinkbudget"]["query_class"] == subject.DEFAULT_CLASS


async def test_a_reference_answer_is_learned_from_and_not_told() -> None:
    controller = await make_controller()
    right = reference("easy question")
    reply = await subject.complete(
        controller, chat("easy question", thinkbudget={"reference_answer": right})
    )
    curve = controller.curves.curve("simulated", "default")
    assert curve is not None
    assert curve.labelled == 1
    assert "reference" not in json.dumps(reply)


async def test_learn_false_leaves_no_trace() -> None:
    controller = await make_controller()
    await subject.complete(controller, chat(thinkbudget={"learn": False}))
    assert controller.curves.curve("simulated", "default") is None


@pytest.mark.parametrize(
    ("stop", "content"),
    [("Answer", "Final "), (["nowhere", "l"], "Fina"), ("", None), ([], None), ("F", "")],
)
def test_the_content_ends_before_the_first_stop_text(stop: object, content: str | None) -> None:
    whole = replied(chat())["choices"][0]["message"]["content"]
    cut = replied(chat(stop=stop))["choices"][0]["message"]["content"]
    assert cut == (whole if content is None else content)


@pytest.mark.parametrize("most", [40, 60, 100, 400])
@pytest.mark.parametrize("policy", ["fixed", "majority", "adaptive_consistency", "priced"])
def test_max_tokens_bounds_a_chain(most: int, policy: str) -> None:
    reply = replied(
        chat("hopeless question", max_tokens=most, thinkbudget={"policy": policy}),
        policy="priced",
        answer_tokens=64,
    )
    assert 0 < reply["thinkbudget"]["spent"]["selected_tokens"] <= most
    assert reply["choices"][0]["message"]["content"]


def test_max_tokens_leaves_a_tighter_thinking_cap_alone() -> None:
    for cap in (0, 20):
        options = {"policy": "fixed", "max_thinking_tokens": cap}
        told = replied(chat("hopeless question", max_tokens=400, thinkbudget=options))
        assert told["usage"]["completion_tokens_details"]["reasoning_tokens"] == cap


def test_a_total_limit_bounds_all_chains_together() -> None:
    for limit in (60, 200, 700):
        options = {"policy": "majority", "samples": 9, "max_total_tokens": limit}
        reply = replied(chat("hopeless question", thinkbudget=options))
        assert 0 < reply["usage"]["completion_tokens"] <= limit


def test_an_options_of_the_servers_own_policy_is_changed_alone() -> None:
    body = chat("medium question", thinkbudget={"samples": 2})
    told = replied(body, policy="majority", samples=7, extensions=1)["thinkbudget"]
    assert (told["spent"]["chains"], told["spent"]["extensions"]) == (2, 1)


def test_a_deadline_gives_the_best_answer_so_far() -> None:
    options = {"policy": "majority", "samples": 16, "deadline_seconds": 0.1}
    reply = replied(chat("easy question", thinkbudget=options), engine=SimulatedEngine(slots=1))
    assert reply["thinkbudget"]["stop_reason"] == "deadline"
    assert reply["choices"][0]["message"]["content"].startswith("Final Answer")


def test_a_deadline_before_any_answer_is_an_error() -> None:
    reply = post(chat("hopeless question", thinkbudget={"deadline_seconds": 0.01}))
    assert reply.status_code == 504
    assert reply.json()["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize(
    ("options", "stop_reason", "kind"),
    [
        ({"policy": "dynasor", "probe_every": 16, "agree": 2}, "settled", "probe"),
        ({"policy": "deer", "extensions": 2}, "settled", "probe"),
        (
            {"policy": "rejection_sampling", "max_thinking_tokens": 9},
            "no try accepted",
            "discarded",
        ),
        ({"policy": "token_conditional", "tokens": 30, "forced": True}, "plan done", "reasoning"),
        ({"policy": "class_conditional", "length": "long"}, "plan done", "reasoning"),
        ({"policy": "deepconf", "samples": 3, "measure": "mean"}, "plan done", "answer"),
        ({"policy": "deepconf_online", "samples": 8, "warmup": 2}, "settled", "answer"),
        ({"policy": "fixed", "extensions": 1, "extension_text": "Hmm"}, "plan done", "reasoning"),
        ({"policy": "fixed", "extensions": 1, "readme_compat": True}, "plan done", "reasoning"),
    ],
    ids=str,
)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_baseline_can_be_asked_for(
    options: dict[str, Any], stop_reason: str, kind: str, streamed: bool
) -> None:
    fields = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
    reply = post(chat("medium question", thinkbudget=options, **fields))
    assert reply.status_code == 200, reply.text
    if streamed:
        chunks = [json.loads(line[6:]) for line in reply.text.split("\n\n")[:-2]]
        told, usage = chunks[-2]["thinkbudget"], chunks[-1]["usage"]
    else:
        told, usage = reply.json()["thinkbudget"], reply.json()["usage"]
    assert (told["policy"], told["stop_reason"]) == (options["policy"], stop_reason)
    assert told["violations"] == []
    assert told["spent"]["by_kind"][kind] > 0
    assert usage["completion_tokens"] == sum(told["spent"]["by_kind"].values())
    assert usage["completion_tokens_details"][f"{kind}_tokens"] > 0


def test_a_reply_without_an_accepted_try_has_no_content() -> None:
    options = {"policy": "rejection_sampling", "max_thinking_tokens": 5, "max_tries": 3}
    reply = replied(chat("medium question", thinkbudget=options))
    (choice,) = reply["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    assert reply["thinkbudget"]["answer"] is None


@pytest.mark.parametrize("most", [1, 3, 20])
@pytest.mark.parametrize("policy", POLICIES)
def test_max_tokens_bounds_every_policy(policy: str, most: int) -> None:
    options = {"extensions": 2} if policy in ("fixed", "majority", "deer") else {}
    if policy == "fixed":
        options["min_thinking_tokens"] = 900
    reply = post(chat("medium question", max_tokens=most, thinkbudget={"policy": policy} | options))
    assert reply.status_code == 200, reply.text
    assert reply.json()["thinkbudget"]["spent"]["selected_tokens"] <= most


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"thinkbudget": {"policy": "prised"}}, "policy", "priced"),
    ({"thinkbudget": {"policy": "prised"}, "max_tokens": 9}, "policy", "priced"),
    ({"thinkbudget": {"policy": "fixed", "extention": 1}}, "extention", "extensions"),
    ({"thinkbudget": {"max_sample": 1}}, "max_sample", "max_samples"),
    ({"thinkbudget": {"policy": "majority", "samples": 0}}, "samples", "0"),
    ({"thinkbudget": {"policy": "majority", "samples": -3}}, "samples", "-3"),
    ({"thinkbudget": {"policy": "majority", "samples": True}}, "samples", "True"),
    ({"thinkbudget": {"policy": "majority", "samples": 10**9}}, "samples", "1000000000"),
    ({"thinkbudget": {"policy": "majority", "samples": "4"}}, "samples", "'4'"),
    ({"thinkbudget": {"max_thinking_tokens": -1}}, "max_thinking_tokens", "-1"),
    ({"thinkbudget": {"max_thinking_tokens": True}}, "max_thinking_tokens", "True"),
    ({"thinkbudget": {"max_thinking_tokens": 1.5}}, "max_thinking_tokens", "1.5"),
    ({"thinkbudget": {"max_thinking_tokens": "9"}}, "max_thinking_tokens", "'9'"),
    ({"thinkbudget": {"max_thinking_tokens": "9"}, "max_tokens": 9}, "max_thinking_tokens", "'9'"),
    ({"thinkbudget": {"max_thinking_tokens": 5000}}, "max_thinking_tokens", "4096"),
    ({"thinkbudget": {"max_thinking_tokens": 10**30}}, "max_thinking_tokens", "10000"),
    ({"thinkbudget": {"policy": "fixed", "min_thinking_tokens": 9000}}, "min_thinking_tokens", "9"),
    ({"thinkbudget": {"answer_tokens": 0}}, "answer_tokens", "0"),
    ({"thinkbudget": {"answer_tokens": None}, "max_tokens": 9}, "answer_tokens", "None"),
    ({"thinkbudget": {"answer_tokens": "9"}, "max_tokens": 9}, "answer_tokens", "'9'"),
    ({"thinkbudget": {"policy": "fixed", "temperature": -1}}, "temperature", "-1"),
    ({"thinkbudget": {"policy": "fixed", "extensions": 2000}}, "extensions", "2000"),
    (
        {"thinkbudget": {"policy": "fixed", "max_thinking_tokens": 0, "extensions": 1}},
        "max_thinking_tokens",
        "no natural end is possible",
    ),
    ({"thinkbudget": {"policy": "fixed", "extension_text": ""}}, "extension_text", "''"),
    ({"thinkbudget": {"policy": "fixed", "extension_text": 3}}, "extension_text", "3"),
    ({"thinkbudget": {"policy": "fixed", "extension_text": "\ud800"}}, "extension_text", "ud800"),
    (
        {"thinkbudget": {"policy": "fixed", "harness_compat": True, "readme_compat": True}},
        "harness_compat",
        "exclude each other",
    ),
    ({"thinkbudget": {"policy": "fixed", "harness_compat": 1}}, "harness_compat", "1"),
    ({"thinkbudget": {"policy": "dynasor", "agree": 0}}, "agree", "0"),
    ({"thinkbudget": {"policy": "dynasor", "probe_evry": 9}}, "probe_evry", "probe_every"),
    ({"thinkbudget": {"policy": "deepconf", "measure": "bottom"}}, "measure", "'lowest'"),
    ({"thinkbudget": {"policy": "deepconf", "keep": 0}}, "keep", "0"),
    ({"thinkbudget": {"policy": "deepconf_online", "warmup": 99}}, "warmup", "99"),
    ({"thinkbudget": {"policy": "rejection_sampling", "max_tries": 0}}, "max_tries", "0"),
    ({"thinkbudget": {"policy": "token_conditional", "forced": "yes"}}, "forced", "'yes'"),
    ({"thinkbudget": {"policy": "class_conditional", "length": "mid"}}, "length", "'short'"),
    ({"thinkbudget": {"price": 2}}, "price", "2"),
    ({"thinkbudget": {"max_total_tokens": 20}}, "max_total_tokens", "20"),
]


@pytest.mark.parametrize(("fields", "option", "told"), REFUSED, ids=str)
def test_what_no_policy_can_do_is_refused_by_its_option(
    fields: dict[str, Any], option: str, told: str
) -> None:
    reply = post(json.dumps(chat() | fields).encode(), policy="priced")
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == f"thinkbudget.{option}"
    assert told in error["message"]
    assert len(error["message"]) <= 1000


def test_a_model_that_is_not_there_is_named() -> None:
    reply = post(chat() | {"model": "gpt-9"})
    error = reply.json()["error"]
    assert reply.status_code == 404
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    assert "gpt-9" in error["message"] and "simulated" in error["message"]


@pytest.mark.parametrize("content", [" ", "\n\t", [], [{"type": "text", "text": ""}]])
def test_messages_without_a_word_are_refused(content: object) -> None:
    reply = post({"model": "simulated", "messages": [{"role": "user", "content": content}]})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith("messages")


def test_a_prompt_longer_than_the_context_is_refused() -> None:
    reply = post(chat("word " * 9000))
    error = reply.json()["error"]
    assert reply.status_code == 400
    assert (error["param"], error["code"]) == ("messages", "context_length_exceeded")


@pytest.mark.parametrize("name", [7, "", "x" * 101, ["sums"], "\ud800"])
def test_a_class_that_is_no_name_is_refused(name: object) -> None:
    reply = post(json.dumps(chat(metadata={"query_class": name})).encode())
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "metadata.query_class"


async def test_a_refusal_in_a_stream_is_raised_before_the_first_event() -> None:
    controller = await make_controller()
    job = subject.prepare(controller, chat("word " * 9000, stream=True))
    with pytest.raises(RequestError, match="does not fit"):
        await anext(stream(controller, job))


# Any text that JSON can carry, half surrogate pairs among it.
TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=20)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OPTIONS = st.sampled_from(
    [
        *BudgetOptions.model_fields, "samples", "extensions", "max_thinking_tokens",
        "samples_per_round",
        "min_thinking_tokens", "answer_tokens", "temperature", "threshold", "price", "exploration",
        "extension_text", "harness_compat", "probe_every", "agree", "keep", "measure", "warmup",
        "max_tries", "tokens", "forced", "length",
    ]
)  # fmt: skip
BUDGETS = st.dictionaries(
    OPTIONS | TEXT,
    JSON | st.integers(0, 5000) | st.sampled_from(["short", "tail", *POLICIES]),
    max_size=4,
)
BODIES = JSON | st.dictionaries(
    st.sampled_from([*ChatRequest.model_fields]) | TEXT, JSON | st.integers(1, 500), max_size=4
).flatmap(
    lambda fields: st.one_of(
        st.just(chat() | fields),
        BUDGETS.map(lambda budget: chat() | fields | {"thinkbudget": budget}),
        BUDGETS.map(lambda budget: chat(thinkbudget=budget)),
    )
)


@settings(max_examples=150, deadline=None)
@given(body=BODIES)
def test_no_json_is_a_failure_of_the_server(body: object) -> None:
    reply = post(json.dumps(body).encode(), policy="priced")
    assert reply.status_code < 500
    if reply.status_code != 200 and "data:" not in reply.text:
        assert reply.json()["error"].keys() == {"message", "type", "param", "code"}
