"""Tokens per second of `thinkbudget train sft` against a plain PyTorch loop on the same model.

    python -m benchmarks.training [--rounds N] [--quick]

Both fine-tune s1-pocket on the same rows, in micro-batches of the same size, with one worker on one
core, in turn, each in a process of its own. The rate is that of all steps after the first: start-up
and the writing of the model are left out, checkpoints, metrics and DeepSpeed are not. Padding is
not counted. The last line is JSON.
"""

import json
import random
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.goals import at_least, report
from scheduler.progress import progress
from training.sft.settings import Data, FineTuning, Model, Parallel, Training
from workers.models import POCKET_FOLDER

GOAL = 0.9
ROWS, QUICK_ROWS = 512, 128
MICRO_BATCH, BATCH = 8, 16


def write_sums(path: Path, rows: int, digits: tuple[int, int], seed: int) -> None:
    """Training rows: sums of so many digits, both numbers included, thought about one by one."""
    rng = random.Random(seed)
    with path.open("w") as file:
        for _ in range(rows):
            drawn = [rng.randint(1, 9) for _ in range(rng.randint(*digits))]
            sums = [sum(drawn[: n + 1]) % 10 for n in range(len(drawn))]
            row = {
                "question": f"{'+'.join(map(str, drawn))}?",
                "thinking": " ".join(map(str, sums)),
                "attempt": f"Final Answer: {sums[-1]}",
            }
            file.write(f"{json.dumps(row)}\n")


def settings(folder: Path, rows: int) -> FineTuning:
    """Rows of 40 to 400 tokens, one epoch, one checkpoint on the way."""
    write_sums(folder / "rows.jsonl", rows, (8, 80), seed=1)
    return FineTuning(
        out=str(folder / f"out-{time.time_ns()}"),
        model=Model(name="s1-pocket"),
        data=Data(path=str(folder / "rows.jsonl"), max_length=1024),
        training=Training(
            epochs=1,
            batch_size=BATCH,
            micro_batch_size=MICRO_BATCH,
            learning_rate=1e-4,
            precision="fp32",
            gradient_checkpointing=False,
            save_steps=rows // BATCH // 2,
        ),
        parallel=Parallel(gpu=False, zero_stage=0),
    )


def ours(folder: Path, rows: int) -> float:
    """Tokens per second of the whole loop."""
    from training.sft.launch import run_in_process
    from training.sft.run import fine_tune

    made = settings(folder, rows)
    fine_tune(made, run_in_process)
    lines = [json.loads(line) for line in made.metrics.read_text().splitlines()]
    first, last = lines[0], lines[-1]
    seconds = [line["tokens"] / line["tokens_per_second"] for line in (first, last)]
    return float((last["tokens"] - first["tokens"]) / (seconds[1] - seconds[0]))


def plain(folder: Path, rows: int) -> float:
    """The same of a loop with nothing around it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq

    from training.sft.examples import load
    from training.sft.run import check

    torch.set_num_threads(1)
    made = settings(folder, rows)
    check(made)
    tokenizer = AutoTokenizer.from_pretrained(POCKET_FOLDER)
    model = AutoModelForCausalLM.from_pretrained(POCKET_FOLDER, dtype="float32").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=1e-4)
    batches = torch.utils.data.DataLoader(
        load(made.examples).remove_columns("length"),
        batch_size=MICRO_BATCH,
        shuffle=True,
        generator=torch.Generator().manual_seed(0),
        collate_fn=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100),
    )
    tokens, began = 0, 0.0
    for number, batch in enumerate(batches, 1):
        loss = model(**batch).loss / (BATCH // MICRO_BATCH)
        loss.backward()
        if number % (BATCH // MICRO_BATCH) == 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        if number == BATCH // MICRO_BATCH:
            tokens, began = 0, time.monotonic()
        elif began:
            tokens += int(batch["attention_mask"].sum())
    return tokens / (time.monotonic() - began)


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--quick", is_flag=True, help="One round of few rows.")
def main(rounds: int, quick: bool) -> None:
    """Tokens per second of the whole training loop against a plain one."""
    rounds, rows = (1, QUICK_ROWS) if quick else (rounds, ROWS)
    rates: dict[str, list[float]] = {"plain loop": [], "thinkbudget": []}
    with TemporaryDirectory() as name, progress("training runs", 2 * rounds) as bar:
        for _ in range(rounds):
            for what, run in (("plain loop", plain), ("thinkbudget", ours)):
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                    rates[what].append(alone.submit(run, Path(name), rows).result())
                bar.advance(f"{what}: {rates[what][-1]:.0f} tokens/s")
    for what, each in rates.items():
        print(f"{what}: {', '.join(f'{rate:.0f}' for rate in each)} tokens/s")
    ratios = [a / b for a, b in zip(rates["thinkbudget"], rates["plain loop"], strict=True)]
    report({"tokens per second over a plain loop": at_least(statistics.median(ratios), GOAL)})


if __name__ == "__main__":
    main()
