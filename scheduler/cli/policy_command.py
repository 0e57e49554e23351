"""`thinkbudget policy`: a file to begin a policy of one's own with."""

from pathlib import Path

import click

from scheduler.cli.options import WrongInput
from scheduler.cli.promote_command import promote


@click.group()
def policy() -> None:
    """Policies of your own, and candidates."""


policy.add_command(promote)


@policy.command("new")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def policy_new(file: Path) -> None:
    """Write a policy that runs into FILE, with comments, to be changed."""
    from importlib.resources import files

    text = files("scheduler.cli").joinpath("policy_example.py").read_text(encoding="utf-8")
    try:
        with file.open("x", encoding="utf-8") as made:
            made.write(text)
    except OSError as error:
        raise WrongInput(f"{file} cannot be written: {error.strerror}") from error
    click.echo(f"{file}; try it: thinkbudget ask --engine simulated --policy {file}:MyPolicy 1+1")
