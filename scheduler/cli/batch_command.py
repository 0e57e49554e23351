"""`thinkbudget batch`: a file of requests into a file of answers."""

from pathlib import Path
from typing import Any

import click

from scheduler.cli.options import engine_options, one_line_errors


@click.group()
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

    from scheduler.batch import job as job
    from scheduler.client.local import answering
    from scheduler.progress import progress
    from scheduler.startup import settings

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
