"""Ask a running server with OpenAI's client, within a budget.

.venv/bin/thinkbudget serve                  # in another terminal
python examples/ask.py http://127.0.0.1:8000
"""

import sys

from openai import OpenAI

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
client = OpenAI(base_url=f"{url}/v1", api_key="none")  # or a key made by `thinkbudget keys create`
model = client.models.list().data[0].id

reply = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "a=3 b=a*7-2+5 c=b+4*3 c?"}],
    metadata={"query_class": "arithmetic"},  # curves are learned by class
    # Fields that OpenAI does not have (docs/requests.md): here two limits of the whole query.
    extra_body={"thinkbudget": {"max_total_tokens": 1000, "deadline_seconds": 60}},
)
print("answer:", reply.choices[0].message.content)

# What was decided, predicted and spent is beside OpenAI's own fields.
report = (reply.model_extra or {})["thinkbudget"]
print("tokens:", report["spent"]["tokens"], "chains:", report["spent"]["chains"])

# A grade that comes later teaches the curves of the class.
grade = {"outcome_id": report["outcome_id"], "reward": 1.0}
client.post("/feedback", body=grade, cast_to=object)
