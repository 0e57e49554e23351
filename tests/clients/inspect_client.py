"""inspect_ai's OpenAI-compatible provider: an evaluation whose reasoning is kept apart."""

import os
import sys
import tempfile

os.environ["THINKBUDGET_BASE_URL"] = f"{sys.argv[1]}/v1"
os.environ["THINKBUDGET_API_KEY"] = "none"

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ContentReasoning
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

task = Task(
    dataset=[Sample(input=f"a={n} b=a+1 b?", target=str((n + 1) % 10)) for n in range(2, 8)],
    solver=generate(),
    scorer=includes(),
)
with tempfile.TemporaryDirectory() as folder:
    log = eval(
        task,
        model="openai-api/thinkbudget/s1-pocket",
        log_dir=folder,
        display="none",
        reasoning_effort="low",
    )[0]
    assert log.status == "success", log.error
    assert len(log.samples) == 6
    for sample in log.samples:
        content = sample.output.choices[0].message.content
        assert any(isinstance(part, ContentReasoning) for part in content), content
    assert log.stats.model_usage["openai-api/thinkbudget/s1-pocket"].reasoning_tokens > 0
