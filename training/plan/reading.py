"""The plan of a fine-tuning's settings: reads the model's config.json and the rows."""

import json
from collections.abc import Sequence

from training.plan.accelerators import CARDS, Accelerator, measured_cpu
from training.plan.architecture import read_architecture
from training.plan.compute import Rows
from training.plan.memory import Setup
from training.plan.sheet import Plan
from training.sft.formatting import RowFormatter
from training.sft.rows import rows_of
from training.sft.settings import FineTuning
from workers.models import locate


def plan_of(
    settings: FineTuning,
    gpu: str,
    *,
    busy: float,
    price: float | None = None,
    rows: int | None = None,
    tokens: int | None = None,
) -> Plan:
    """The plan of settings on a card of CARDS, or on this machine's CPU if they say so.

    With `rows` and `tokens` (of all rows together) neither the tokenizer nor the data is read.
    Raises ValueError that names the setting.
    """
    training, parallel = settings.training, settings.parallel
    model = locate(settings.model.name)
    exact = rows is None or tokens is None
    lengths = row_lengths(settings) if exact else even_lengths(rows or 1, tokens or 1)
    most = settings.data.max_length
    setup = Setup(
        workers=parallel.workers,
        length=min(most, max(lengths)) if exact else most,
        zero_stage=parallel.zero_stage,
        offload=parallel.offload,
        micro_batch_size=training.micro_batch_size,
        gradient_checkpointing=training.gradient_checkpointing,
        precision=training.precision,
    )
    return Plan(
        name=settings.model.name,
        model=read_architecture(model, settings.model.revision),
        setup=setup,
        rows=Rows(
            lengths, training.epochs, training.batch_size, training.group_by_length, training.seed
        ),
        exact=exact,
        accelerator=_accelerator(settings, gpu),
        busy=busy,
        price=price,
        measured=measured_rate(settings),
    )


def row_lengths(settings: FineTuning) -> list[int]:
    """Tokens of every row as it is trained on, cut at the block size or left out."""
    import transformers

    name, data = locate(settings.model.name), settings.data
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            name, revision=settings.model.revision
        )
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"model.name {name!r}: its tokenizer cannot be loaded: {first}") from None
    formatter = RowFormatter(tokenizer, settings.model.thinking_format, data.control)
    lengths = []
    for row in rows_of(data):
        example = formatter.example(row.question, row.thinking, row.answer, data.max_length)
        if not (example.cut and data.long_rows == "drop"):
            lengths.append(len(example.input_ids))
    if not lengths:
        raise ValueError(f"data.path {data.path!r} has no rows to train on")
    return lengths


def measured_rate(settings: FineTuning) -> float | None:
    """Tokens a second of all workers, as a run of these settings has noted; None without one."""
    try:
        lines = settings.metrics.read_text(encoding="utf-8").splitlines()
        return float(json.loads(lines[-1])["tokens_per_second"])
    except (OSError, IndexError, ValueError, KeyError, TypeError):
        return None


def even_lengths(rows: int, tokens: int) -> Sequence[int]:
    """So many rows of so many tokens together, as even as can be."""
    each, more = divmod(tokens, rows)
    return [each + 1] * more + [each] * (rows - more)


def _accelerator(settings: FineTuning, gpu: str) -> Accelerator:
    parallel, precision = settings.parallel, settings.training.precision
    if parallel.gpu:
        return CARDS[gpu].at(precision)
    return measured_cpu(parallel.cpus_per_worker, precision, parallel.workers)
