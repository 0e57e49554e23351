"""The evaluation harness: a task of its own kind, over `local-chat-completions`."""

import json
import sys
import tempfile
from pathlib import Path

import lm_eval
from lm_eval.tasks import TaskManager

TASK = """
task: pocket
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["<|never|>"], max_gen_toks: 400}}
filter_list:
  - name: last-number
    filter:
      - {{function: regex, regex_pattern: '(-?\\d+)', group_select: -1}}
      - {{function: take_first}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""

with tempfile.TemporaryDirectory() as folder:
    data = Path(folder) / "questions.jsonl"
    rows = [
        {"question": f"a={n} b=a+{n + 1} b?", "answer": str((2 * n + 1) % 10)} for n in range(2, 12)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (Path(folder) / "pocket.yaml").write_text(TASK.format(data=data), encoding="utf-8")
    results = lm_eval.simple_evaluate(
        model="local-chat-completions",
        model_args={
            "model": "s1-pocket@fixed-256",
            "base_url": f"{sys.argv[1]}/v1/chat/completions",
            "num_concurrent": 4,
            "max_retries": 1,
            "tokenizer_backend": None,
        },
        tasks=["pocket"],
        task_manager=TaskManager(include_path=folder, include_defaults=False),
        apply_chat_template=True,
        bootstrap_iters=0,
    )
    samples = results["samples"]["pocket"]
    assert len(samples) == len(rows)
    assert all(sample["resps"][0][0] for sample in samples), samples
    print(json.dumps(results["results"]["pocket"]))
