"""`thinkbudget train`: fine-tune and train models."""

from pathlib import Path

import click

# Of training/plan/accelerators.py; a test holds them together.
GPUS = ("h100", "h200", "a100", "a100-40gb", "l40s")


@click.group()
def train() -> None:
    """Train models."""


@train.command("sft")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", "only_check", is_flag=True,
              help="Look at settings, rows, model and checkpoints, and stop.")  # fmt: skip
@click.option("--in-process", is_flag=True, help="One worker in this process, without Ray.")
@click.option("--force", is_flag=True, help="Go on in an output of other settings.")
def train_sft(config: Path, only_check: bool, in_process: bool, force: bool) -> None:
    """Fine-tune a model on curated rows (docs/training.md); again: go on where it stopped."""
    from scheduler.cli.options import one_line_errors
    from training.sft.launch import TrainingFailed, run_in_process, run_on_ray
    from training.sft.run import check, fine_tune
    from training.sft.settings import read_settings

    with one_line_errors():
        settings = read_settings(config)
        if only_check:
            prepared = check(settings)
            cuts = prepared.cuts
            click.echo(
                f"{prepared.rows} rows, {prepared.tokens} tokens, the longest of {cuts.longest}; "
                f"{cuts.cut_rows} rows longer than {settings.data.max_length}, "
                f"{cuts.lost_tokens} tokens beyond it"
            )
            return
        try:
            run = run_in_process if in_process else run_on_ray
            folder = fine_tune(settings, run, force=force)
        except TrainingFailed as error:
            raise click.ClickException(f"{error}; the same command goes on") from error
    click.echo(f"{folder}: thinkbudget serve --model {folder}")


@train.command("pocket")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path),
              default=Path("pocket"), show_default=True,
              help="Folder of the trained model.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True)  # fmt: skip
def train_pocket(out: Path, seed: int) -> None:
    """Train the embedded model s1-pocket from scratch (tens of minutes on 2 cores, resumes)."""
    from training.pocket.make import main as run

    run(out, seed=seed)


@train.command()
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--gpu",
    type=click.Choice(GPUS),
    default="h100",
    show_default=True,
    help="The card of each worker. Settings with `gpu = false` take this machine's CPU, "
    "which is measured.",
)
@click.option(
    "--mfu",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.4,
    show_default=True,
    help="Share of the card's peak FLOPs while it has rows to work on.",
)
@click.option("--price", type=click.FloatRange(0), help="Dollars for a GPU-hour.")
@click.option("--rows", type=click.IntRange(1), help="Rows of an epoch, instead of data.path.")
@click.option("--tokens", type=click.IntRange(1), help="Tokens of all these rows together.")
@click.option(
    "--gpu-hours",
    type=click.FloatRange(0, min_open=True),
    help="Show the utilisation of a run that took so many hours of one GPU.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")  # fmt: skip
def plan(
    config: Path,
    gpu: str,
    mfu: float,
    price: float | None,
    rows: int | None,
    tokens: int | None,
    gpu_hours: float | None,
    as_json: bool,
) -> None:
    """Show what a fine-tuning takes: memory of a GPU, hours, dollars, and what would fit."""
    import json

    from scheduler.cli.options import one_line_errors
    from training.plan.reading import plan_of
    from training.plan.sheet import figures, lines
    from training.sft.settings import read_settings

    if (rows is None) != (tokens is None):
        raise click.UsageError("--rows and --tokens are given together")
    with one_line_errors():
        made = plan_of(read_settings(config), gpu, busy=mfu, price=price, rows=rows, tokens=tokens)
    found = None if gpu_hours is None else made.mfu_of(gpu_hours)
    if as_json:
        click.echo(json.dumps(figures(made) | ({} if found is None else {"mfu_of_run": found})))
        return
    for line in lines(made):
        click.echo(line)
    if found is not None:
        click.echo(f"{gpu_hours:g} GPU-hours are a utilisation (MFU) of {found:.1%}")


@train.command("pocket-study")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path),
              default=Path("pocket-study"), show_default=True,
              help="Folder of all results.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--pool", type=click.IntRange(1), default=2000, show_default=True,
              help="Questions of the pool.")  # fmt: skip
@click.option("--size", type=click.IntRange(1), default=300, show_default=True,
              help="Rows of a set.")  # fmt: skip
@click.option("--questions", type=click.IntRange(2, 300), default=300, show_default=True,
              help="Held-out questions of each class that models are measured on.")  # fmt: skip
def pocket_study(out: Path, seed: int, pool: int, size: int, questions: int) -> None:
    """Repeat the paper's data ablation with s1-pocket (s1, Tables 2 and 7; resumes)."""
    import subprocess

    from training.pocket.study import Study

    study = Study(out, seed=seed, pool=pool, size=size, questions=questions)
    try:
        click.echo(study.run(click.echo))
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd[2:]))
        raise click.ClickException(f"{command}: exit code {error.returncode}") from None


@train.command("verifier")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path),
              default=Path("pocket-verifier"), show_default=True,
              help="Folder of the verifier.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--questions", type=click.IntRange(1), default=3000, show_default=True,
              help="Questions that s1-pocket is sampled on.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), default=1, show_default=True)
def train_verifier(out: Path, seed: int, questions: int, epochs: int) -> None:
    """Train the verifier of s1-pocket's questions (tens of minutes on 2 cores, resumes)."""
    from training.pocket.verifier.make import make

    make(out, seed=seed, questions=questions, epochs=epochs)
