"""`thinkbudget serve`: an OpenAI-compatible endpoint until interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.options import engine_options, one_line_errors

if TYPE_CHECKING:
    from scheduler.config import ServeConfig


@click.command()
@engine_options
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=8000, show_default=True)
@click.option("--replicas", type=int, default=1, show_default=True, help="Engines.")
@click.option("--max-replicas", type=int, help="More engines while many tokens are owed.")
@click.option("--tensor-parallel-size", type=int, default=1, show_default=True, help="GPUs each.")
@click.option("--controllers", type=int, default=1, show_default=True, help="HTTP processes.")
@click.option("--drain-timeout", "drain_seconds", type=float, default=30.0, show_default=True,
              help="Seconds that running requests get when it is ended.")  # fmt: skip
@click.option("--keys", type=click.Path(dir_okay=False), help="Ask for the keys in this file.")
@click.option("--insecure-no-auth", is_flag=True, help="Serve a network without any keys.")
@click.option("--outcomes", type=click.Path(dir_okay=False), help="Log outcomes to this file.")
@click.option("--curves", type=click.Path(dir_okay=False), help="Keep the curves in this file.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML, not flags.")
@click.option("--verbose", is_flag=True, help="Show the logs of all processes.")
def serve(config_file: Path | None, verbose: bool, **flags: Any) -> None:
    """Serve an OpenAI-compatible endpoint until interrupted."""
    import signal
    import threading

    from scheduler.config import ServeConfig, read_toml
    from scheduler.startup import settings, validate

    with one_line_errors():
        config = validate(read_toml(config_file, ServeConfig)) if config_file else settings(**flags)
    if warning := config.access.warning(config.host):
        click.secho(f"warning: {warning}", fg="red", err=True)
    with one_line_errors(), serving(config, verbose=verbose):
        # Ray has a handler of its own, which would not wait for anything, and a shell that starts
        # this in the background has SIGINT ignored.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            click.echo(f"serving {config.engine.model} at http://{config.host}:{config.port}/v1")
            threading.Event().wait()
        click.echo("finishing what runs; once more to stop at once", err=True)


@contextmanager
def serving(config: "ServeConfig", *, verbose: bool = False) -> Iterator[None]:
    """A running endpoint; leaves no process behind, however the block ends."""
    from scheduler.cluster import launch

    click.echo("starting Ray, Serve and the engine (half a minute without a GPU) ...", err=True)
    try:
        try:
            launch.start(config, verbose=verbose, warn=partial(click.echo, err=True))
        except launch.CannotStart as error:
            more = "" if verbose else " (--verbose shows the logs)"
            raise click.ClickException(f"the endpoint cannot start: {error}{more}") from error
        yield
        if running := launch.drain(config.drain_seconds):
            click.echo(f"{running} requests were cut off", err=True)
    finally:
        launch.stop()
