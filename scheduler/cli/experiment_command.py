"""`thinkbudget experiment` and `report`: policies compared on the same questions."""

from pathlib import Path
from typing import Any

import click

from scheduler.cli.options import one_line_errors


@click.group()
def experiment() -> None:
    """Budget-policy experiments."""


@experiment.command("run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path),
              help="Folder of the results.  [default: runs/NAME of FILE]")  # fmt: skip
@click.option("--force", is_flag=True, help="Go on in OUT although another experiment began it.")
def experiment_run(file: Path, out: Path | None, force: bool) -> None:
    """Run the policies x seeds of FILE (TOML).

    A policy and seed with a result in OUT is skipped. Exit code 3: a policy of yours has failed on
    some questions; they count as wrong. 4: OUT belongs to another experiment.
    """
    import asyncio

    from scheduler.config import ExperimentConfig
    from scheduler.engines.factory import check
    from scheduler.experiments import runner
    from scheduler.experiments.manifest import claim
    from scheduler.manifest import ResumeRefused
    from scheduler.progress import progress
    from scheduler.settings import read_toml
    from workers.simulated.clock import run_virtual

    folder = out or Path("runs") / file.stem
    with one_line_errors():
        config = read_toml(file, ExperimentConfig)
        check(config.engine)
        todo, asked = runner.missing(config, folder), runner.question_set(config)
        try:
            claim(config, folder, force=force)
        except ResumeRefused as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(4) from error
        run: Any = asyncio.run if config.engine.kind == "vllm" else run_virtual
        with progress("experiment", len(todo) * len(asked)) as bar:
            failures = run(runner.run(config, todo, folder, bar))
    if failures:
        click.echo(f"{len(failures)} questions failed, the first: {failures[0]}", err=True)
    click.echo(f"outcomes in {folder}; see: thinkbudget report {folder}")
    raise SystemExit(3 if failures else 0)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """A table and a picture of the outcomes in FOLDER."""
    from scheduler.experiments import report as reports
    from scheduler.experiments.report_files import write

    with one_line_errors():
        scored = reports.read_folder(folder)
        if not scored:
            raise ValueError(f"{folder}: no outcome with a known answer in its *.jsonl")
        picture = write(folder / "report", scored, reports.read_curves(folder))
    click.echo((folder / "report" / "report.txt").read_text(encoding="utf-8"))
    click.echo(f"picture: {picture}")
