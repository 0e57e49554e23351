"""The front door: every command imports what it needs when it is called, so that help is instant.

Exit codes: 0 done, 1 unexpected, 2 wrong input (one line says what), 3 a batch with failed rows,
4 a batch that must not be resumed, 130 interrupted.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scheduler.api.keys_command import keys
from scheduler.curves_command import classes, curves
from scheduler.flags import engine_options, one_line_errors

if TYPE_CHECKING:
    from scheduler.config import ServeConfig


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="thinkbudget")
def main() -> None:
    """Decides how long a reasoning model thinks about each question, and learns what pays."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")


for group in (keys, curves, classes):
    main.add_command(group)


@main.command()
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
    from scheduler.session import checked, settings

    with one_line_errors():
        config = checked(read_toml(config_file, ServeConfig)) if config_file else settings(**flags)
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


@main.command()
@click.argument("question")
@engine_options
@click.option("--url", help="Ask a running endpoint, such as http://127.0.0.1:8000.")
@click.option("--query-class", default="default", show_default=True)
def ask(question: str, url: str | None, query_class: str, **flags: Any) -> None:
    """Ask one question, and see what thinking it was worth."""
    import asyncio
    import json

    from scheduler.session import settings

    body = {
        "model": flags["model"],
        "messages": [{"role": "user", "content": question}],
        "metadata": {"query_class": query_class},
    }
    with one_line_errors():
        where = url or settings(**flags)
    reply = asyncio.run(_one(body, where))
    message = reply["choices"][0]["message"]
    if thinking := message.get("reasoning"):
        click.secho(thinking, dim=True)
    click.echo(message["content"])
    click.secho(json.dumps(reply["thinkbudget"]["spent"]), dim=True, err=True)


async def _one(body: dict[str, Any], where: "ServeConfig | str") -> dict[str, Any]:
    from scheduler.errors import RequestError
    from scheduler.session import answering

    async with answering(where) as answer:
        try:
            return await answer(body)
        except RequestError as error:
            raise click.UsageError(error.message) from error


@main.group()
def batch() -> None:
    """Batch jobs in OpenAI's JSON lines."""


@batch.command("run")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
@engine_options
@click.option("--url", help="Use a running endpoint instead of an engine in this process.")
@click.option("--concurrency", type=click.IntRange(1, 10_000), default=16, show_default=True)
@click.option("--budget", type=float, metavar="TOKENS",
              help="Let the whole job take so many tokens, by a price of its own.")  # fmt: skip
@click.option("--force", is_flag=True, help="Go on in OUT though it was begun by another job.")
def batch_run(
    source: Path,
    out: Path,
    url: str | None,
    concurrency: int,
    budget: float | None,
    force: bool,
    **flags: Any,
) -> None:
    """Answer every line of SOURCE into OUT; the same command again resumes."""
    import asyncio

    from scheduler import batch as job
    from scheduler.progress import progress
    from scheduler.session import answering, settings

    files = job.Files.beside(out)
    told = ({"url": url} if url else flags) | ({"budget": budget} if budget else {})
    with one_line_errors():
        where = url or settings(**flags)
        try:
            done = job.prepare(source, files, told, force=force)
        except job.ResumeRefused as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(4) from error
        price = None if budget is None else job.price_for(budget, source, files, done)

    async def work() -> job.Summary:
        total = job.count_lines(source)
        async with answering(where) as answer:
            with progress("batch", total, done=len(done)) as bar:
                return await job.run(
                    source,
                    files,
                    answer,
                    done=done,
                    concurrency=concurrency,
                    progress=bar,
                    price=price,
                )

    summary = asyncio.run(work())
    click.echo(
        f"{summary.answered} answered, {summary.skipped} done before, {summary.failed} failed, "
        f"{summary.tokens} tokens -> {out}"
    )
    for code, count in sorted(summary.errors.items()):
        click.echo(f"  {count} x {code} -> {files.errors}")
    raise SystemExit(3 if summary.failed else 0)


@main.group()
def experiment() -> None:
    """Budget-policy experiments."""


@experiment.command("run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path),
              help="Folder of the outcomes.  [default: runs/NAME of FILE]")  # fmt: skip
def experiment_run(file: Path, out: Path | None) -> None:
    """Run the policies x seeds of FILE (TOML); what is there already is not run again."""
    import asyncio

    from scheduler import experiment as trial
    from scheduler.config import ExperimentConfig, read_toml
    from scheduler.engines import check
    from scheduler.progress import progress
    from workers.clock import run_virtual

    folder = out or Path("runs") / file.stem
    with one_line_errors():
        config = read_toml(file, ExperimentConfig)
        check(config.engine)
        todo, asked = trial.missing(config, folder), trial.question_set(config)
        run: Any = asyncio.run if config.engine.kind == "vllm" else run_virtual
        with progress("experiment", len(todo) * len(asked)) as bar:
            run(trial.run(config, todo, folder, bar))
    click.echo(f"outcomes in {folder}; see: thinkbudget report {folder}")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """A table and a picture of the outcomes in FOLDER."""
    from scheduler import report as told
    from scheduler.publish import write

    with one_line_errors():
        scored = told.read_folder(folder)
        if not scored:
            raise ValueError(f"{folder}: no outcome with a known answer in its *.jsonl")
        picture = write(folder / "report", scored, told.read_curves(folder))
    click.echo((folder / "report" / "report.txt").read_text(encoding="utf-8"))
    click.echo(f"picture: {picture}")


@main.command()
@click.option("--port", type=int, default=8000, show_default=True)
@click.option("--questions", "count", type=click.IntRange(5, 100_000), default=200,
              show_default=True, help="Questions for each policy.")  # fmt: skip
@click.option("--price", type=float, default=3e-4, show_default=True)
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"),
              show_default=True)  # fmt: skip
def demo(port: int, count: int, price: float, out: Path) -> None:
    """Serve the embedded model, ask it hundreds of questions under five policies, and compare."""
    import asyncio

    from scheduler import demo as shown
    from scheduler import report as told
    from scheduler.config import EngineConfig, ServeConfig
    from scheduler.progress import progress
    from scheduler.publish import write
    from scheduler.questions import load_questions, spread

    with one_line_errors():
        config = ServeConfig(engine=EngineConfig(), price=price, port=port)
        questions = spread(load_questions("s1-pocket"), count)
        with serving(config), progress("demo", len(questions) * len(shown.POLICIES)) as bar:
            url = f"http://127.0.0.1:{port}"
            result = asyncio.run(shown.show(url, config.engine.model, questions, bar))
        shown.save(out, result)
        picture = write(out / "report", result.scored, told.read_curves(out))
    click.echo((out / "report" / "report.txt").read_text(encoding="utf-8"))
    walls = ", ".join(f"{label} {wall:.0f} s" for label, wall in result.walls.items())
    click.echo(f"wall time: {walls}\npicture: {picture}")


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
def doctor(port: int) -> None:
    """Say what is here and what is missing, with the mend."""
    from scheduler.doctor import examine

    findings = examine(port)
    for finding in findings:
        sign = "ok" if not finding.mend else "!!" if finding.fatal else "--"
        mend = f"  -> {finding.mend}" if finding.mend else ""
        click.echo(f"{sign}  {finding.what:<10} {finding.found}{mend}")
    raise SystemExit(1 if any(finding.fatal for finding in findings) else 0)


@main.group()
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


if __name__ == "__main__":
    main()
