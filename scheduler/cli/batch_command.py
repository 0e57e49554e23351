"""`thinkbudget batch`: a file of questions into a file of answers, by one budget."""

import json
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.batch_estimate import batch_estimate
from scheduler.cli.batch_options import (
    COLUMN_FLAGS,
    bar_of,
    columns_of,
    existing,
    input_options,
    job_options,
    job_settings,
)
from scheduler.cli.batch_submit import batch_cancel, batch_logs, batch_results, batch_status
from scheduler.cli.batch_submit import batch_submit as submit_command
from scheduler.cli.options import one_line_errors

if TYPE_CHECKING:
    from scheduler.batch.run import Job, JobReport


@click.group()
def batch() -> None:
    """Batch jobs: OpenAI's lines, plain JSON lines, CSV or Parquet in, answers out."""


for each in (
    batch_estimate, submit_command, batch_status, batch_logs, batch_cancel, batch_results,
):  # fmt: skip
    batch.add_command(each)


@batch.command("check")
@click.argument("source")
@input_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def batch_check(source: str, roots: tuple[str, ...], as_json: bool, **columns: str | None) -> None:
    """Read every row of SOURCE and say what is wrong. Exit code 3: some rows are."""
    from scheduler.batch.check import check_rows
    from scheduler.batch.inputs.files import read_rows

    with one_line_errors():
        found = existing(source, roots)
        names = columns_of(**{name: columns[name] for name in COLUMN_FLAGS})
        result = check_rows(read_rows(found, names))
    if as_json:
        click.echo(json.dumps(result.as_dict()))
    else:
        for line in result.lines():
            click.echo(line)
    raise SystemExit(3 if result.bad else 0)


@batch.command("run")
@click.argument("source")
@job_options
def batch_run(
    source: str, out: str, force: bool, fail_threshold: float, progress_kind: str, **flags: Any
) -> None:
    """Answer every row of SOURCE into OUT. The same command again resumes the job.

    Exit codes: 3 some rows failed; 4 OUT belongs to another job; 5 the endpoint cannot be reached
    or refuses; 6 a budget, the time or the disk is used up; 130 and 143 interrupted.
    """
    from scheduler.batch.ended import RESUME_REFUSED
    from scheduler.batch.run import Job
    from scheduler.manifest import ResumeRefused

    with one_line_errors():
        settings = job_settings(source, out, flags)
        job = Job(settings, bar_of(progress_kind))
        try:
            job.begin(force=force)
        except ResumeRefused as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(RESUME_REFUSED) from error
    with one_line_errors():
        report, code = _ran(job, out)
    if report is None:
        raise SystemExit(code)
    _show(report, job, settings.goals)
    failed, rows = report.summary.failed, report.summary.answered + report.summary.skipped
    if failed and failed > fail_threshold * (failed + rows):
        raise SystemExit(3)
    raise SystemExit(code)


def _ran(job: "Job", out: str) -> "tuple[JobReport | None, int]":
    """Run a job to its end or to the first interrupt; the second one aborts it."""
    import asyncio
    import signal

    from scheduler.batch.ended import EXHAUSTED, INTERRUPTED, TERMINATED, UNREACHABLE, JobEnded

    stopped = 0

    async def work() -> "JobReport":
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def interrupt(code: int) -> None:
            nonlocal stopped
            if stopped:
                task.cancel()
                return
            stopped = code
            click.echo("finishing the rows under way; interrupt again to stop at once", err=True)
            job.stop()

        for number, code in ((signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)):
            loop.add_signal_handler(number, interrupt, code)
        return await job.run()

    try:
        report = asyncio.run(work())
    except JobEnded as ended:
        click.echo(f"Error: {ended}", err=True)
        click.echo(_way_on(job, out), err=True)
        return None, ended.exit_code
    except ConnectionError as error:
        click.echo(f"Error: {error}", err=True)
        return None, UNREACHABLE
    except (asyncio.CancelledError, KeyboardInterrupt):
        click.echo(f"stopped; {_way_on(job, out)}", err=True)
        return None, stopped or INTERRUPTED
    if stopped and not report.summary.is_whole:
        click.echo(f"interrupted; {_way_on(job, out)}", err=True)
        return None, stopped
    return report, 0 if report.summary.is_whole else EXHAUSTED


def _way_on(job: "Job", out: str) -> str:
    return f"what is answered is kept beside {out}, and the same command goes on"


def _show(report: "JobReport", job: "Job", goals: Any) -> None:
    from scheduler.batch.run import bill_lines

    summary = report.summary
    of = f" of {goals.tokens:,}" if goals.tokens is not None else ""
    click.echo(
        f"{summary.answered} answered, {summary.skipped} done before, {summary.failed} failed, "
        f"{summary.tokens} tokens{of} -> {job.output.out}"
    )
    for code, count in sorted(summary.errors.items()):
        click.echo(f"  {count} x {code} -> {job.output.errors}")
    if not summary.is_whole:
        click.echo("  some rows have no answer: the budget or the time is used up")
    if report.tokens != summary.tokens:
        click.echo(f"  {report.tokens} tokens with the runs before")
    for line in bill_lines(report, goals):
        click.echo(f"  {line}")
