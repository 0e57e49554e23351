"""`thinkbudget batch`: a file of requests into a file of answers."""

from pathlib import Path
from typing import Any

import click

from scheduler.cli.options import ANSWER_KINDS, endpoint_options, engine_options, one_line_errors


@click.group()
def batch() -> None:
    """Batch jobs in OpenAI's JSON lines."""


@batch.command("run")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
@engine_options
@endpoint_options
@click.option("--concurrency", type=click.IntRange(1, 10_000), default=16, show_default=True,
              help="Lines answered at the same time.")  # fmt: skip
@click.option("--budget", type=float, metavar="TOKENS",
              help="Aim at about so many tokens for the job. A goal, not a limit.")  # fmt: skip
@click.option("--answer-kind", type=click.Choice(ANSWER_KINDS),
              help="What answers are, where a line does not say (docs/requests.md).")  # fmt: skip
@click.option("--answer-pattern", metavar="REGEX",
              help="Finds the answer in a reply: its last match, or the group in it.")  # fmt: skip
@click.option("--store", envvar="THINKBUDGET_STORE", metavar="URL",
              help="Keep outcomes here, where this process answers (docs/store.md).  "
              "[env: THINKBUDGET_STORE]")  # fmt: skip
@click.option("--force", is_flag=True, help="Resume in OUT although another job began it.")
def batch_run(
    source: Path,
    out: Path,
    url: str | None,
    api_key: str | None,
    concurrency: int,
    budget: float | None,
    answer_kind: str | None,
    answer_pattern: str | None,
    store: str | None,
    force: bool,
    **flags: Any,
) -> None:
    """Answer every line of SOURCE into OUT. The same command again resumes the job.

    SOURCE has OpenAI batch lines. Exit code 3: some lines failed; 4: OUT belongs to another job.
    """
    import asyncio

    from scheduler.api.protocol import AnswerOptions
    from scheduler.batch.default_model import with_model
    from scheduler.batch.files import Files, count_lines, prepare, price_for
    from scheduler.batch.job import BatchJob, JobEnded, Summary
    from scheduler.client.http_client import check_endpoint
    from scheduler.client.local import answering
    from scheduler.config import ServeConfig
    from scheduler.manifest import ResumeRefused
    from scheduler.progress import progress
    from scheduler.startup import settings
    from scheduler.store.opening import require_store

    files = Files.beside(out)
    given = {"kind": answer_kind, "pattern": answer_pattern}
    answer = {name: value for name, value in given.items() if value is not None}
    options = {"answer": answer} if answer else {}
    manifest = ({"url": url} if url else flags) | ({"budget": budget} if budget else {}) | options
    with one_line_errors():
        AnswerOptions.model_validate(answer)
        if url is not None:
            check_endpoint(url, api_key)
        where = url or settings(**flags, store=store)
        if isinstance(where, ServeConfig):
            require_store(where.store)
        try:
            done = prepare(source, files, manifest, force=force)
        except ResumeRefused as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(4) from error
        price = None if budget is None else price_for(budget, source, files, done)

    async def work() -> Summary:
        total = count_lines(source)
        async with answering(where, api_key=api_key) as answer:
            with progress("batch", total, done=len(done)) as bar:
                job = BatchJob(
                    source,
                    files,
                    with_model(answer, where, api_key=api_key),
                    done=done,
                    concurrency=concurrency,
                    progress=bar,
                    price=price,
                    options=options,
                )
                return await job.run()

    try:
        summary = asyncio.run(work())
    except JobEnded as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo(f"interrupted; {out} is kept, the same command resumes the job", err=True)
        raise SystemExit(130) from None
    click.echo(
        f"{summary.answered} answered, {summary.skipped} done before, {summary.failed} failed, "
        f"{summary.tokens} tokens -> {out}"
    )
    for code, count in sorted(summary.errors.items()):
        click.echo(f"  {count} x {code} -> {files.errors}")
    raise SystemExit(3 if summary.failed else 0)
