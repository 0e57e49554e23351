"""langchain-openai: invoke, stream, batch, a budget in `extra_body`, and the Responses API."""

import sys

from langchain_openai import ChatOpenAI

MODEL = "s1-pocket"
QUESTION = "a=3 b=a*7-2+5 c=b+4*3 c?"
where = {"base_url": f"{sys.argv[1]}/v1", "api_key": "none"}

chat = ChatOpenAI(model=MODEL, reasoning_effort="low", **where)
reply = chat.invoke(QUESTION)
assert reply.content
assert reply.usage_metadata["output_token_details"]["reasoning"] > 0
assert reply.response_metadata["finish_reason"] == "stop"

pieces = list(ChatOpenAI(model=MODEL, stream_usage=True, **where).stream(QUESTION))
assert "".join(piece.content for piece in pieces)
assert sum(piece.usage_metadata["output_tokens"] for piece in pieces if piece.usage_metadata) > 0

budget = {"thinkbudget": {"policy": "fixed", "max_thinking_tokens": 16}}
capped = ChatOpenAI(model=MODEL, extra_body=budget, **where).batch([QUESTION] * 4)
assert len(capped) == 4
for one in capped:
    assert one.usage_metadata["output_token_details"]["reasoning"] <= 16

answered = ChatOpenAI(model=MODEL, use_responses_api=True, **where).invoke(QUESTION)
assert answered.text
