"""Anthropic's own client: whole messages, streams, thinking, stops, tools, errors, another key."""

import sys
from typing import Any

import anthropic

MODEL = "s1-pocket"
ASKED: list[Any] = [{"role": "user", "content": "a=3 b=a*7-2+5 c=b+4*3 c?"}]
client: Any = anthropic.Anthropic(base_url=sys.argv[1], api_key="none")

message = client.messages.create(model=MODEL, max_tokens=400, messages=ASKED)
assert [block.type for block in message.content] == ["text"] and message.content[0].text
assert message.stop_reason == "end_turn"
assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0

thinking = {"type": "enabled", "budget_tokens": 16}
message = client.messages.create(
    model=MODEL, max_tokens=400, messages=ASKED, thinking=thinking, system="Be brief."
)
assert [block.type for block in message.content] == ["thinking", "text"]
assert message.model_extra["thinkbudget"]["spent"]["by_kind"]["reasoning"] <= 16

with client.messages.stream(
    model=MODEL, max_tokens=400, messages=ASKED, thinking=thinking
) as stream:
    kinds = [event.type for event in stream]
    final = stream.get_final_message()
assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
assert [block.type for block in final.content] == ["thinking", "text"]
assert final.content[1].text == "".join(block.text for block in final.content[1:])

again = [*ASKED, {"role": "assistant", "content": final.content}, *ASKED]
assert client.messages.create(model=MODEL, max_tokens=400, messages=again).content[0].text

short = client.messages.create(model=MODEL, max_tokens=3, messages=ASKED)
assert short.stop_reason == "max_tokens" and short.usage.output_tokens <= 3

assert client.messages.count_tokens(model=MODEL, messages=ASKED).input_tokens > 0

refused: list[tuple[dict[str, Any], Any]] = [
    ({"model": "claude-nowhere"}, anthropic.NotFoundError),
    ({"messages": [{"role": "user", "content": "9 " * 50_000}]}, anthropic.BadRequestError),
]
for wrong, kind in refused:
    try:
        client.messages.create(**{"model": MODEL, "max_tokens": 400, "messages": ASKED} | wrong)
    except kind as error:
        assert error.body["type"] == "error", error.body
    else:
        raise AssertionError(f"{kind.__name__} was expected")
