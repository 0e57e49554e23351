"""Batch jobs that run elsewhere: sent to a Ray cluster, and looked at by their name or output."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.batch_options import job_options
from scheduler.cli.options import is_given, one_line_errors

if TYPE_CHECKING:
    from scheduler.cluster.batch_jobs import RayJobs

ADDRESS = click.option(
    "--address", envvar="RAY_API_SERVER_ADDRESS", metavar="URL",
    help="Dashboard of the cluster, such as http://head:8265.  [env: RAY_API_SERVER_ADDRESS]",
)  # fmt: skip


@click.command("submit")
@click.argument("source")
@ADDRESS
@click.option("--name", metavar="JOB", help="Name of the job on the cluster.")
@click.option("--working-dir", metavar="FOLDER", help="Sent along; the job runs in it.")
@click.option("--runtime-env", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Ray's runtime environment, as JSON.")  # fmt: skip
@click.option("--follow/--detach", default=True, show_default=True,
              help="Show the log and wait for the end, or only start it.")  # fmt: skip
@job_options
def batch_submit(
    source: str,
    address: str | None,
    name: str | None,
    working_dir: str | None,
    runtime_env: Path | None,
    follow: bool,
    **flags: Any,
) -> None:
    """Run the job of `batch run` on a Ray cluster, by its Jobs API.

    SOURCE and OUT must be where the cluster reaches them: shared storage or an object store.
    The exit code is that of the job, with --detach 0. The same command again resumes it.
    """
    # Other flags are handed on as they were written; a key would stand in the dashboard.
    key = flags["api_key"]
    job = name or f"thinkbudget-batch-{uuid.uuid4().hex[:8]}"
    arguments = ["batch", "run", source, *_written(click.get_current_context())]
    with one_line_errors():
        environment = json.loads(runtime_env.read_text()) if runtime_env else {}
        if working_dir:
            environment["working_dir"] = working_dir
        if key is not None:
            environment["env_vars"] = environment.get("env_vars", {}) | {"OPENAI_API_KEY": key}
        jobs = _jobs(address)
        jobs.submit(arguments, job=job, runtime_env=environment or None)
    click.echo(f"job {job} is submitted; thinkbudget batch status {job} says how far it is")
    if follow:
        _follow(jobs, job)


@click.command("status")
@click.argument("job")
@ADDRESS
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def batch_status(job: str, address: str | None, as_json: bool) -> None:
    """How far a job is. JOB is its name on a cluster, or its output file."""
    with one_line_errors():
        state = _status(job, address)
    if as_json:
        click.echo(json.dumps(state))
        return
    for text in _lines(state):
        click.echo(text)


@click.command("logs")
@click.argument("job")
@ADDRESS
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
def batch_logs(job: str, address: str | None, follow: bool) -> None:
    """The log of a job on a cluster."""
    with one_line_errors():
        jobs = _jobs(address)
        if not follow:
            click.echo(jobs.logs(job), nl=False)
            return
    _follow(jobs, job)


@click.command("cancel")
@click.argument("job")
@ADDRESS
def batch_cancel(job: str, address: str | None) -> None:
    """End a job on a cluster in good order: what runs is finished, and all of it is kept."""
    with one_line_errors():
        is_stopped = _jobs(address).stop(job)
    click.echo(f"job {job} is being stopped" if is_stopped else f"job {job} had ended")


@click.command("results")
@click.argument("out")
@click.option("--errors", is_flag=True, help="The failed rows instead.")
def batch_results(out: str, errors: bool) -> None:
    """Print the lines of OUT, those so far of a job that still runs. Exit code 3: rows failed."""
    from scheduler.batch.results import failures, results
    from scheduler.batch.storage import locate

    with one_line_errors():
        at = locate(out)
        for line in failures(at) if errors else results(at):
            click.echo(line.rstrip(b"\n"))
        failed = any(True for _ in failures(at))
    raise SystemExit(3 if failed else 0)


def _lines(state: dict[str, Any]) -> Iterator[str]:
    """As people read it: times of the day in UTC, and the bill a line a class and plan."""
    for name, value in state.items():
        if name in ("began", "updated") and isinstance(value, int | float):
            yield f"{name}: {datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
        elif name == "bill" and isinstance(value, list):
            yield "bill:"
            for row in value:
                known = (f"{key} {'-' if each is None else each}" for key, each in row.items())
                yield f"  {', '.join(known)}"
        else:
            yield f"{name}: {value}"


def _written(context: click.Context) -> list[str]:
    """The options of `batch run` as the caller has given them."""
    own = {"source", "address", "name", "working_dir", "runtime_env", "follow", "api_key"}
    found: list[str] = []
    for parameter in context.command.params:
        if parameter.name is None or parameter.name in own:
            continue
        if not is_given(context, parameter.name) or not isinstance(parameter, click.Option):
            continue
        value, flag = context.params[parameter.name], parameter.opts[-1]
        if flag.startswith("--") is False:
            flag = parameter.opts[0]
        if parameter.is_flag:
            found += [flag] if value else []
        elif isinstance(value, dict):
            found += [f"{flag}={key}={json.dumps(each)}" for key, each in value.items()]
        elif parameter.multiple:
            found += [f"{flag}={each}" for each in value or ()]
        else:
            found.append(f"{flag}={value}")
    return found


def _jobs(address: str | None) -> "RayJobs":
    """Raises ValueError where no cluster answers."""
    from scheduler.cluster.batch_jobs import RayJobs

    if address is None:
        raise ValueError("address: name the dashboard of the cluster, http://HEAD:8265")
    try:
        return RayJobs(address)
    except (ConnectionError, RuntimeError) as error:
        click.echo(f"Error: {address} cannot be reached: {error}", err=True)
        raise SystemExit(5) from error


def _follow(jobs: "RayJobs", job: str) -> None:
    state = jobs.follow(job, lambda text: click.echo(text, nl=False))
    click.echo(f"job {job}: {state.status}")
    if state.exit_code is not None:
        raise SystemExit(state.exit_code)
    raise SystemExit(0 if state.status == "SUCCEEDED" else 1)


def _status(job: str, address: str | None) -> dict[str, Any]:
    if address is not None:
        state = _jobs(address).state(job)
        return {"job": job, "status": state.status, "exit_code": state.exit_code}
    from scheduler.batch.results import status
    from scheduler.batch.storage import locate

    return status(locate(job))
