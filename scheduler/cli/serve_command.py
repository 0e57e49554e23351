"""`thinkbudget serve`: an OpenAI-compatible endpoint until interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.options import engine_options, is_given, named, one_line_errors
from scheduler.logs import LOG_LEVELS, configure, tell

if TYPE_CHECKING:
    from scheduler.config import ServeConfig
    from scheduler.startup import SettingsSource


@click.command()
@engine_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=8000, show_default=True, help="Port to listen on.")
@click.option("--replicas", type=int, default=1, show_default=True, help="Engines.")
@click.option("--max-replicas", type=int,
              help="Add engines up to this number while requests wait.")  # fmt: skip
@click.option("--tensor-parallel-size", type=int, default=1, show_default=True,
              help="GPUs of one engine.")  # fmt: skip
@click.option("--gateways", type=int, default=1, show_default=True, help="HTTP processes.")
@click.option("--drain-timeout", "drain_seconds", type=float, default=30.0, show_default=True,
              help="Seconds that running requests get when the server stops.")  # fmt: skip
@click.option("--keys", type=click.Path(dir_okay=False),
              help="File of API keys; requests without one of them are refused.")  # fmt: skip
@click.option("--insecure-no-auth", is_flag=True, default=None,
              help="Serve a network without any keys.")  # fmt: skip
@click.option("--outcomes", type=click.Path(dir_okay=False),
              help="Log every answered query, texts included, to this file.")  # fmt: skip
@click.option("--store", envvar="THINKBUDGET_STORE", metavar="URL",
              help="Keep outcomes here, without texts: sqlite:///FILE or postgresql://... "
              "(docs/store.md).  [env: THINKBUDGET_STORE]")  # fmt: skip
@click.option("--curves", type=click.Path(dir_okay=False),
              help="Keep the learned curves in this file.")  # fmt: skip
@click.option("--application", default="thinkbudget", show_default=True,
              help="Name of the Ray Serve application.")  # fmt: skip
@click.option("--replace", is_flag=True,
              help="Replace an application of this name on a running cluster.")  # fmt: skip
@click.option("--config", "config_file", type=click.Path(path_type=Path),
              help="Read settings from this TOML file; flags given beside it win.")  # fmt: skip
@click.option("--log-level", default="warning", show_default=True,
              type=click.Choice(LOG_LEVELS), help="What to log: from this level on.")  # fmt: skip
@click.option("--log-json", "json_logs", is_flag=True, help="Log one JSON object a line.")
@click.option("--verbose", is_flag=True,
              help="Show all that Ray, Serve and vLLM write, too.")  # fmt: skip
def serve(
    config_file: Path | None, replace: bool, verbose: bool, json_logs: bool, **flags: Any
) -> None:
    """Serve an OpenAI-compatible endpoint until interrupted."""
    import os
    import signal
    import threading

    from scheduler.engines.factory import check_by_vllm
    from scheduler.settings import read_table
    from scheduler.startup import HOLDER_SECONDS, SettingsSource, require_curves, settings
    from scheduler.store.opening import require_store

    with one_line_errors():
        table = read_table(config_file) if config_file else {}
        if config_file:
            context = click.get_current_context()
            flags = {name: value for name, value in flags.items() if is_given(context, name)}
        with named(config_file):
            config = settings(table, **flags)
            if not replace:
                # An application that is replaced leaves the file to the one that comes.
                require_curves(config)
                require_store(config.store, HOLDER_SECONDS)
            # On a cluster the engines' hardware is not that of this machine.
            for model in config.by_model.values():
                check_by_vllm(model.engine, whole="RAY_ADDRESS" not in os.environ)
    if warning := config.access.warning(config.host):
        click.secho(f"warning: {warning}", fg="red", err=True)
    configure(config.log_level, as_json=json_logs)
    source = SettingsSource(str(config_file.resolve()) if config_file else None, flags)
    running = serving(config, source=source, replace=replace, verbose=verbose, json_logs=json_logs)
    # A shell that starts this in the background has SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with one_line_errors(), running as address:
        asked = threading.Event()
        signal.signal(signal.SIGHUP, lambda *_: asked.set())
        with suppress(KeyboardInterrupt):
            names = ", ".join(config.models) or config.engine.model
            page = f", live page at {address}/ui" if config.live_page else ""
            click.echo(f"serving {names} at {address}/v1{page}")
            _tell_sampling(config)
            while asked.wait():
                asked.clear()
                for text in _reloaded(config.application):
                    tell(text, as_json=json_logs)
        tell("finishing running requests; interrupt again to stop at once", as_json=json_logs)


def _tell_sampling(config: "ServeConfig") -> None:
    from scheduler.cluster.launch import recommended_sampling

    for model in config.models or [None]:
        if sampling := recommended_sampling(config.application, model):
            of = f" {model}," if model else ""
            click.echo(f"sampling,{of} as the model's makers recommend: {sampling}")


def _reloaded(application: str) -> list[str]:
    """What came of reading the settings again."""
    from scheduler.cli.reload_command import told
    from scheduler.cluster.launch import reload

    done = reload(application)
    if "error" in done:
        return [f"the settings stay as they are: {done['error']}"]
    return [f"settings read again; {text}" for text in told(done)]


@contextmanager
def serving(
    config: "ServeConfig",
    *,
    source: "SettingsSource | None" = None,
    replace: bool = False,
    verbose: bool = False,
    json_logs: bool = False,
) -> Iterator[str]:
    """A running endpoint, by its address; leaves no process behind, however the block ends."""
    from scheduler.cluster import launch
    from scheduler.cluster.starting import CannotStart

    say = partial(tell, as_json=json_logs)
    say("starting Ray, Serve and the engine (half a minute without a GPU) ...")
    started = None
    try:
        try:
            address = launch.start(
                config,
                source=source,
                replace=replace,
                verbose=verbose,
                json_logs=json_logs,
                warn=say,
            )
            started = config.application
        except CannotStart as error:
            started = config.application
            more = "" if verbose else " (--verbose shows the logs)"
            raise click.ClickException(f"the endpoint cannot start: {error}{more}") from error
        yield address
        if running := launch.drain(config.application, config.drain_seconds):
            say(f"{running} requests were cut off")
    finally:
        launch.stop(started)
