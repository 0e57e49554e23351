"""The settings of the study: one file for the curation, one for every fine-tuning."""

import json
from pathlib import Path

from training.pocket.problems import QUESTION_CLASSES
from training.pocket.teacher import VERSION
from workers.models import POCKET_FOLDER

SETS = ("s1", "random", "diverse", "longest", "full")
_FREE = "prompt_price = 0\ncompletion_price = 0"


def curation(size: int, seed: int) -> str:
    """Settings of the curation of `pool.jsonl`, beside it; models cost nothing."""
    domains = "\n".join(f'{name} = "{name} questions"' for name in QUESTION_CLASSES)
    return f"""\
out = "curated"

[[sources]]
name = "pocket-pool"
path = "pool.jsonl"

[[decontaminate.tests]]
name = "pocket-held-out"
path = {_text(POCKET_FOLDER / "questions.jsonl")}

[traces.teacher]
engine = "python"
model = "training.pocket.teacher:answer"
request = {{ version = {VERSION} }}
{_FREE}

[quality]
tokenizer = {_text(POCKET_FOLDER)}

[classify.classifier]
engine = "python"
model = "training.pocket.classifier:answer"
{_FREE}

[classify.domains]
{domains}

[difficulty.models.s1-pocket]
model = "s1-pocket"
temperature = 0
max_tokens = 1024
concurrency = 64
{_FREE}

[select]
sets = {json.dumps(SETS)}
size = {size}
uniform_until = {size}
seed = {seed}
"""


def _text(path: Path) -> str:
    return json.dumps(str(path))


def fine_tuning(
    name: str, rows: str, *, learning_rate: float, epochs: int, seed: int, block: int | None
) -> str:
    """Settings of a fine-tuning of s1-pocket on a set; a `block` in tokens cuts longer rows."""
    cut = "" if block is None else f'max_length = {block}\nlong_rows = "cut"\n'
    return f"""\
out = "models/{name}"

[model]
name = "s1-pocket"

[data]
path = "curated/select-{rows}"
{cut or "max_length = 2048"}

[training]
epochs = {epochs}
batch_size = 16
micro_batch_size = 16
group_by_length = true
learning_rate = {learning_rate}
precision = "fp32"
gradient_checkpointing = false
seed = {seed}
save_steps = 200
log_steps = 20

[parallel]
workers = 1
gpu = false
zero_stage = 2
"""
