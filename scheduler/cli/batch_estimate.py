"""`thinkbudget batch estimate`: what a job will take, before it is begun."""

import json
from typing import Any

import click

from scheduler.cli.batch_options import bar_of, job_options, job_settings
from scheduler.cli.options import one_line_errors


@click.command("estimate")
@click.argument("source")
@click.option("--sample", type=click.IntRange(2, 100_000), default=100, show_default=True,
              help="Rows to answer for it; they cost what they cost.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@job_options
def batch_estimate(
    source: str,
    sample: int,
    as_json: bool,
    out: str,
    force: bool,
    fail_threshold: float,
    progress_kind: str,
    **flags: Any,
) -> None:
    """Answer a sample of SOURCE and predict tokens, time and accuracy of the whole, with intervals.

    Nothing is written but the learned curves, which the job then begins with.
    """
    import asyncio

    from scheduler.batch.budget.estimate import JobEstimate, estimate, sample_of
    from scheduler.batch.inputs.files import count_rows, read_rows
    from scheduler.batch.run import place

    with one_line_errors():
        settings = job_settings(source, out, flags)
        count = count_rows(settings.source, settings.columns)

    async def work() -> JobEstimate:
        async with place(settings) as (answer, controller):
            rows = sample_of(read_rows(settings.source, settings.columns), count, sample)
            with bar_of(progress_kind)("estimate", min(count, sample), 0) as progress:
                return await estimate(
                    answer,
                    rows,
                    count,
                    options=settings.options,
                    concurrency=settings.concurrency,
                    progress=progress,
                    controller=controller,
                    budget=settings.goals.tokens,
                )

    with one_line_errors():
        found = asyncio.run(work())
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        for line in found.lines(settings.goals.tokens):
            click.echo(line)
    raise SystemExit(0 if found.tokens is not None else 3)
