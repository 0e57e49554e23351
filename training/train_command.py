"""`thinkbudget train`: fine-tune and train models."""

from pathlib import Path

import click


@click.group()
def train() -> None:
    """Train models."""


@train.command("pocket")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path),
              default=Path("pocket"), show_default=True,
              help="Folder of the trained model.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True)  # fmt: skip
def train_pocket(out: Path, seed: int) -> None:
    """Train the embedded model s1-pocket from scratch (tens of minutes on 2 cores, resumes)."""
    from training.pocket import main as run

    run(out, seed=seed)
