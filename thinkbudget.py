"""The front door: every command imports what it needs when it is called, so that help is instant.

Exit codes: 0 done, 1 unexpected, 2 wrong input (one line says what), 3 a batch with failed rows,
4 a batch that must not be resumed, 130 interrupted.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from scheduler.config import ServeConfig

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Wrong input ends a command with one line and exit code 2."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(" ".join(str(error).split())) from error


def engine_options(command: F) -> F:
    """The flags that say which model thinks, and by which policy."""
    options = [
        click.option("--model", default="s1-pocket", show_default=True, help="Name or folder."),
        click.option("--engine", "kind", default="vllm", show_default=True, metavar="KIND",
                     help="vllm, or simulated."),
        click.option("--format", "format_", metavar="NAME",
                     help="s1 or think-tags.  [default: by the model's name]"),
        click.option("--max-model-len", type=int, help="Context in tokens."),
        click.option("--policy", default="priced", show_default=True,
                     help="fixed, majority, adaptive_consistency or priced."),
        click.option("--price", type=float, default=3e-4, show_default=True,
                     help="Accuracy that one token must buy."),
        click.option("--answer-tokens", type=int, default=512, show_default=True,
                     help="Tokens reserved for the answer of a chain."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def settings(
    *,
    model: str,
    kind: str,
    format_: str | None,
    max_model_len: int | None,
    policy: str,
    price: float,
    answer_tokens: int,
    tensor_parallel_size: int = 1,
    **serving: Any,
) -> "ServeConfig":
    """Flags as settings, checked before anything starts."""
    from policies import build
    from scheduler.config import EngineConfig, PolicyConfig, ServeConfig
    from scheduler.engines import check

    engine = EngineConfig(
        kind=kind,
        model=model,
        format=format_,
        max_model_len=max_model_len,
        tensor_parallel_size=tensor_parallel_size,
    )
    check(engine)
    config = ServeConfig(
        engine=engine,
        policy=PolicyConfig(policy),
        price=price,
        answer_tokens=answer_tokens,
        **serving,
    )
    build(policy, **config.policy_options)
    return config


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="thinkbudget")
def main() -> None:
    """Decides how long a reasoning model thinks about each question, and learns what pays."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")


@main.command()
@engine_options
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=8000, show_default=True)
@click.option("--replicas", type=int, default=1, show_default=True, help="Engines.")
@click.option("--tensor-parallel-size", type=int, default=1, show_default=True, help="GPUs each.")
@click.option("--outcomes", type=click.Path(dir_okay=False), help="Log outcomes to this file.")
@click.option("--curves", type=click.Path(dir_okay=False), help="Keep the curves in this file.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML, not flags.")
@click.option("--verbose", is_flag=True, help="Show the logs of all processes.")
def serve(config_file: Path | None, verbose: bool, **flags: Any) -> None:
    """Serve an OpenAI-compatible endpoint until interrupted."""
    import signal
    import threading

    from policies import build
    from scheduler.config import ServeConfig, read_toml
    from scheduler.engines import check

    with one_line_errors():
        config = read_toml(config_file, ServeConfig) if config_file else settings(**flags)
        check(config.engine)
        build(config.policy.name, **config.policy_options)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with one_line_errors(), serving(config, verbose=verbose):
        click.echo(f"serving {config.engine.model} at http://{config.host}:{config.port}/v1")
        ended.wait()


@contextmanager
def serving(config: "ServeConfig", *, verbose: bool = False) -> Iterator[None]:
    """A running endpoint; leaves no process behind, however the block ends."""
    from scheduler import serve as served

    click.echo("starting Ray, Serve and the engine (half a minute without a GPU) ...", err=True)
    try:
        served.start(config, verbose=verbose)
        yield
    finally:
        served.stop()


@main.command()
@click.argument("question")
@engine_options
@click.option("--url", help="Ask a running endpoint, such as http://127.0.0.1:8000.")
@click.option("--query-class", default="default", show_default=True)
def ask(question: str, url: str | None, query_class: str, **flags: Any) -> None:
    """Ask one question, and see what thinking it was worth."""
    import asyncio
    import json

    body = {
        "model": flags["model"],
        "messages": [{"role": "user", "content": question}],
        "metadata": {"query_class": query_class},
    }
    reply = asyncio.run(_one(body, url, flags))
    message = reply["choices"][0]["message"]
    if thinking := message.get("reasoning"):
        click.secho(thinking, dim=True)
    click.echo(message["content"])
    click.secho(json.dumps(reply["thinkbudget"]["spent"]), dim=True, err=True)


async def _one(body: dict[str, Any], url: str | None, flags: dict[str, Any]) -> dict[str, Any]:
    from scheduler.errors import RequestError

    async with _answering(url, flags) as answer:
        try:
            reply: dict[str, Any] = await answer(body)
            return reply
        except RequestError as error:
            raise click.UsageError(error.message) from error


def _answering(url: str | None, flags: dict[str, Any]) -> Any:
    """An async context that gives the function to answer request bodies with, near or far."""
    from contextlib import asynccontextmanager
    from functools import partial

    @asynccontextmanager
    async def context() -> Any:
        if url is not None:
            from scheduler.client import Client

            client = Client(url)
            try:
                yield client.answer
            finally:
                await client.close()
            return
        from scheduler.chat import complete
        from scheduler.session import local_controller

        with one_line_errors():
            config = settings(**flags)
        async with local_controller(config) as controller:
            yield partial(complete, controller)

    return context()


@main.group()
def batch() -> None:
    """Batch jobs in OpenAI's JSON lines."""


@batch.command("run")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
@engine_options
@click.option("--url", help="Use a running endpoint instead of an engine in this process.")
@click.option("--concurrency", type=click.IntRange(1, 10_000), default=16, show_default=True)
@click.option("--force", is_flag=True, help="Go on in OUT though it was begun by another job.")
def batch_run(
    source: Path, out: Path, url: str | None, concurrency: int, force: bool, **flags: Any
) -> None:
    """Answer every line of SOURCE into OUT; the same command again resumes."""
    import asyncio

    from scheduler import batch as job
    from scheduler.progress import progress

    files = job.Files.beside(out)
    told = {"url": url} if url else flags
    with one_line_errors():
        if url is None:
            settings(**flags)
        try:
            done = job.prepare(source, files, told, force=force)
        except job.ResumeRefused as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(4) from error

    async def work() -> job.Summary:
        total = job.count_lines(source)
        async with _answering(url, flags) as answer:
            with progress("batch", total, done=len(done)) as bar:
                return await job.run(
                    source, files, answer, done=done, concurrency=concurrency, progress=bar
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
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("pocket"),
    show_default=True,
    help="Folder of the trained model.",
)
@click.option("--seed", type=int, default=0, show_default=True)  # fmt: skip
def train_pocket(out: Path, seed: int) -> None:
    """Train the embedded model s1-pocket from scratch (tens of minutes on 2 cores, resumes)."""
    from training.pocket import main as run

    run(out, seed=seed)


if __name__ == "__main__":
    main()
