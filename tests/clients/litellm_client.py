"""LiteLLM's OpenAI provider: its reasoning fields, streams and errors."""

import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its price list is on the internet

import litellm

QUESTION = [{"role": "user", "content": "a=3 b=a*7-2+5 c=b+4*3 c?"}]
where = {"model": "openai/s1-pocket", "api_base": f"{sys.argv[1]}/v1", "api_key": "none"}

reply = litellm.completion(messages=QUESTION, **where)
message = reply.choices[0].message
assert message.content and message.reasoning_content
assert reply.usage.completion_tokens_details.reasoning_tokens > 0

budget = {"thinkbudget": {"policy": "fixed", "max_thinking_tokens": 16}}
capped = litellm.completion(messages=QUESTION, extra_body=budget, **where)
assert capped.usage.completion_tokens_details.reasoning_tokens <= 16

text = thought = ""
for chunk in litellm.completion(messages=QUESTION, stream=True, **where):
    text += chunk.choices[0].delta.content or ""
    thought += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
assert text and thought

try:
    litellm.completion(messages=QUESTION, **where | {"model": "openai/gpt-nowhere"})
except litellm.NotFoundError:
    pass
else:
    raise AssertionError("a model that does not exist was served")
