"""`thinkbudget collect`: chains of a model, recorded for replays."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.experiment_command import run_experiment
from scheduler.cli.options import WrongInput, endpoint_options, is_given, one_line_errors

if TYPE_CHECKING:
    from scheduler.experiments.completions_core import ServerSays
    from scheduler.experiments.settings import CompletionsConfig


@click.command()
@click.argument("questions")
@click.option("-o", "--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder of the traces.")  # fmt: skip
@click.option("--model", default="s1-pocket", show_default=True,
              help="Name on the hub, or folder; with --url, the name there.")  # fmt: skip
@click.option("--engine", "kind", default="vllm", show_default=True,
              type=click.Choice(["vllm", "simulated"]))  # fmt: skip
@endpoint_options
@click.option("--tokenizer", metavar="NAME",
              help="With --url of another server than thinkbudget's: the model's tokenizer, name "
              "on the hub or folder.  [default: by what the server lists]")  # fmt: skip
@click.option(
    "--format",
    "format_",
    metavar="NAME",
    help="Thinking format: s1, s1-steps or think-tags.  [default: by the model's name]",
)
@click.option("--limit", type=click.IntRange(1), help="So many of the questions.  [default: all]")
@click.option("--samples", type=click.IntRange(0, 1024), default=16, show_default=True,
              help="Sampled chains of each question.")  # fmt: skip
@click.option("--extensions", type=click.IntRange(0, 64), default=5, show_default=True,
              help="Extensions of its greedy chain, and of its first sampled one.")  # fmt: skip
@click.option("--greedy/--no-greedy", default=True, show_default=True,
              help="Whether to record a first chain, with extensions; it is greedy where the "
              "model's thinking format means single chains so.")  # fmt: skip
@click.option("--probes/--no-probes", default=True, show_default=True,
              help="Trial answers after 16, 32, 64, ... thinking tokens.")  # fmt: skip
@click.option("--confidence/--no-confidence", default=True, show_default=True,
              help="Confidence of every chain.")  # fmt: skip
@click.option("--max-thinking-tokens", type=click.IntRange(1), help="Cap of a chain.")
@click.option("--answer-tokens", type=click.IntRange(1), default=512, show_default=True,
              help="Tokens reserved for the answer of a chain.")  # fmt: skip
@click.option("--max-model-len", type=click.IntRange(1), help="Context in tokens.")
@click.option("--concurrency", type=click.IntRange(1), default=8, show_default=True,
              help="Questions asked at the same time.")  # fmt: skip
def collect(
    questions: str,
    out: Path,
    model: str,
    kind: str,
    url: str | None,
    api_key: str | None,
    tokenizer: str | None,
    format_: str | None,
    limit: int | None,
    max_model_len: int | None,
    concurrency: int,
    answer_tokens: int,
    **options: object,
) -> None:
    """Record chains of a model on QUESTIONS (a set's name, or a file), for replays.

    With --url they come from a running server: thinkbudget's, or any other with OpenAI's text
    completions, such as vLLM's own. The same command again goes on where it was stopped. `kind =
    "replayed"` with `recording = "OUT/outcomes"` replays the traces in an experiment
    (docs/experiments.md).
    """
    from scheduler.experiments.settings import ExperimentConfig
    from scheduler.settings import from_table

    context = click.get_current_context()
    engine: dict[str, Any] = {"format": format_, "max_model_len": max_model_len}
    with one_line_errors():
        if url is None:
            if tokenizer is not None:
                raise ValueError("tokenizer goes with url")
            engine |= {"kind": kind, "model": model}
        else:
            if is_given(context, "kind"):
                raise ValueError("url and engine exclude each other")
            name = model if is_given(context, "model") else None
            engine |= {"kind": "completions", "url": url, "model": name, "tokenizer": tokenizer}
            says = _says(engine, api_key)
            if says is None:
                for own in ("tokenizer", "format", "max_model_len"):
                    if engine[own] is not None:
                        raise ValueError(f"{own}: {url} has its own, it runs thinkbudget")
                engine = {"url": url, "model": name}
                if is_given(context, "answer_tokens"):
                    options["answer_tokens"] = answer_tokens
            elif says.lacks and options["confidence"]:
                options["confidence"] = False
                click.echo(f"{url}: {says.lacks}", err=True)
        chosen = {name: value for name, value in options.items() if value is not None}
        table = {
            "questions": questions,
            "limit": limit,
            "concurrency": concurrency,
            "engine": engine,
            "policies": {"traces": {"policy": "collect", **chosen}},
            "labelled": 0.0,
            "answer_tokens": answer_tokens,
            "outcomes": True,
        }
        config = from_table(ExperimentConfig, table)
    run_experiment(config, out, done=f"traces in {out}/outcomes; replay them with kind replayed")


def _says(engine: dict[str, Any], api_key: str | None) -> "ServerSays | None":
    """What the server says of its tokens; None for thinkbudget's, which tells whole outcomes.

    Raises ValueError, and WrongInput where the server cannot be asked.
    """
    import asyncio

    from scheduler.client.http_client import check_endpoint
    from scheduler.errors import RequestError
    from scheduler.experiments.settings import CompletionsConfig

    url = engine["url"]
    check_endpoint(url, api_key)
    if api_key is not None:
        os.environ["OPENAI_API_KEY"] = api_key  # settings name the variable, never the key
    try:
        return asyncio.run(_tried(CompletionsConfig(**engine)))
    except RequestError as error:
        raise WrongInput(f"{url}: {error.message}") from error


async def _tried(config: "CompletionsConfig") -> "ServerSays | None":
    from scheduler.client.http_client import Client
    from scheduler.experiments.completions_engine import (
        THINKBUDGET,
        completions_engine,
        served_model,
    )

    client = Client(config.url, api_key=os.environ.get(config.api_key_env))
    try:
        if (await served_model(client, config.model)).owner == THINKBUDGET:
            return None
    finally:
        await client.close()
    engine = await completions_engine(config)
    await engine.close()
    return engine.says
