"""The openai package, as its users write it: chat, streams, completions, responses, errors."""

import sys
import time
from typing import Any

import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

MODEL = "s1-pocket"
TEXT = "a=3 b=a*7-2+5 c=b+4*3 c?"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": TEXT}]
url = sys.argv[1]
client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")


def extras(reply: ChatCompletion) -> dict[str, Any]:
    """What thinkbudget adds to a reply."""
    assert reply.model_extra is not None
    added: dict[str, Any] = reply.model_extra["thinkbudget"]
    return added


models = [model.id for model in client.models.list()]
assert MODEL in models and f"{MODEL}@auto" in models, models
assert client.models.retrieve(MODEL).id == MODEL

reply = client.chat.completions.create(model=MODEL, messages=QUESTION, reasoning_effort="low")
choice = reply.choices[0]
assert choice.finish_reason == "stop" and choice.message.content
assert reply.usage is not None and reply.usage.completion_tokens_details is not None
assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
assert reply.usage.completion_tokens_details.reasoning_tokens
assert extras(reply)["spent"]["tokens"] == reply.usage.completion_tokens

stream = client.chat.completions.create(
    model=f"{MODEL}@fixed-64",
    messages=QUESTION,
    stream=True,
    stream_options={"include_usage": True},
)
text, thought = "", ""
ends: list[str] = []
usage: CompletionUsage | None = None
for chunk in stream:
    usage = chunk.usage or usage
    for part in chunk.choices:
        text += part.delta.content or ""
        thought += getattr(part.delta, "reasoning", None) or ""
        ends += [part.finish_reason] if part.finish_reason else []
assert text and thought and ends == ["stop"]
assert usage is not None and usage.completion_tokens > 0

votes = client.chat.completions.create(model=f"{MODEL}@vote-4", messages=QUESTION, n=2)
assert [choice.index for choice in votes.choices] == [0, 1]
assert extras(votes)["spent"]["chains"] == 4

plain = client.completions.create(model=MODEL, prompt="a=3 b=a+1", max_tokens=8)
assert plain.usage is not None and plain.usage.completion_tokens <= 8

response = client.responses.create(
    model=MODEL, input=TEXT, reasoning={"effort": "low"}, store=False
)
assert response.status == "completed" and response.output_text
with client.responses.stream(model=MODEL, input=TEXT) as events:
    kinds = [event.type for event in events]
    assert events.get_final_response().output_text
assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds

refusals: list[tuple[type[openai.APIStatusError], dict[str, Any]]] = [
    (openai.BadRequestError, {"messages": QUESTION, "max_tokens": 0}),
    (openai.BadRequestError, {"messages": [{"role": "user", "content": "x " * 5000}]}),
    (openai.NotFoundError, {"messages": QUESTION, "model": "gpt-nowhere"}),
    (
        openai.BadRequestError,
        {
            "messages": QUESTION,
            "extra_body": {"thinking_token_budget": 8, "thinkbudget": {"max_thinking_tokens": 9}},
        },
    ),
]
for kind, wrong in refusals:
    try:
        client.chat.completions.create(**{"model": MODEL} | wrong)
    except kind as error:
        assert isinstance(error.body, dict) and error.body["message"] and error.code, error.body
    else:
        raise AssertionError(f"{wrong} was not refused")

# A deadline that cannot be kept is answered at once, and the client does not try it again.
began = time.monotonic()
try:
    client.with_options(max_retries=2).chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        extra_body={"thinkbudget": {"deadline_seconds": 0.001, "policy": "fixed"}},
    )
except openai.InternalServerError as error:
    assert error.status_code == 504 and error.code == "deadline_exceeded", error
    assert error.response.headers["x-should-retry"] == "false"
    assert error.response.request.headers["x-stainless-retry-count"] == "0"
else:
    raise AssertionError("a deadline of a millisecond was kept")
assert time.monotonic() - began < 10

# A client that gives up after a moment gets its own error, and the server goes on.
began = time.monotonic()
try:
    reply = client.with_options(timeout=0.05, max_retries=0).chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        extra_body={
            "thinkbudget": {
                "policy": "fixed",
                "min_thinking_tokens": 1500,
                "max_thinking_tokens": 1500,
            }
        },
    )
except openai.APITimeoutError:
    pass
else:
    # On a machine so busy that this process slept through it all, the reply is there when it looks.
    took = time.monotonic() - began
    assert took > 1, f"1,500 tokens within {took:.2f} s: {extras(reply)}"
assert client.chat.completions.create(model=MODEL, messages=QUESTION).choices
