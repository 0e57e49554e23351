"""`thinkbudget collect`: chains of a model, recorded for replays."""

from pathlib import Path

import click

from scheduler.cli.experiment_command import run_experiment
from scheduler.cli.options import one_line_errors


@click.command()
@click.argument("questions")
@click.option("-o", "--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder of the traces.")  # fmt: skip
@click.option("--model", default="s1-pocket", show_default=True, help="Name on the hub, or folder.")
@click.option("--engine", "kind", default="vllm", show_default=True,
              type=click.Choice(["vllm", "simulated"]))  # fmt: skip
@click.option("--limit", type=click.IntRange(1), help="So many of the questions.  [default: all]")
@click.option("--samples", type=click.IntRange(0, 1024), default=16, show_default=True,
              help="Sampled chains of each question.")  # fmt: skip
@click.option("--extensions", type=click.IntRange(0, 64), default=4, show_default=True,
              help="Extensions of its greedy chain.")  # fmt: skip
@click.option("--greedy/--no-greedy", default=True, show_default=True,
              help="Whether to record a greedy chain.")  # fmt: skip
@click.option("--probes/--no-probes", default=True, show_default=True,
              help="Trial answers after 16, 32, 64, ... thinking tokens.")  # fmt: skip
@click.option("--confidence/--no-confidence", default=True, show_default=True,
              help="Confidence of every chain.")  # fmt: skip
@click.option("--max-thinking-tokens", type=click.IntRange(1), help="Cap of a chain.")
@click.option("--max-model-len", type=click.IntRange(1), help="Context in tokens.")
@click.option("--concurrency", type=click.IntRange(1), default=8, show_default=True,
              help="Questions asked at the same time.")  # fmt: skip
def collect(
    questions: str,
    out: Path,
    model: str,
    kind: str,
    limit: int | None,
    max_model_len: int | None,
    concurrency: int,
    **options: object,
) -> None:
    """Record chains of a model on QUESTIONS (a set's name, or a file), for replays.

    The same command again goes on where it was stopped. `kind = "replayed"` with `recording =
    "OUT/outcomes"` replays the traces in an experiment (docs/experiments.md).
    """
    from scheduler.experiments.settings import ExperimentConfig
    from scheduler.settings import from_table

    chosen = {name: value for name, value in options.items() if value is not None}
    table = {
        "questions": questions,
        "limit": limit,
        "concurrency": concurrency,
        "engine": {"kind": kind, "model": model, "max_model_len": max_model_len},
        "policies": {"traces": {"policy": "collect", **chosen}},
        "labelled": 0.0,
        "outcomes": True,
    }
    with one_line_errors():
        config = from_table(ExperimentConfig, table)
    run_experiment(config, out, done=f"traces in {out}/outcomes; replay them with kind replayed")
