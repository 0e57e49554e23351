"""`thinkbudget outcomes`: questions to the store of what was served (docs/store.md)."""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.store_options import Moment, store_errors, store_option

if TYPE_CHECKING:
    from scheduler.store.traffic import ServedRow

FOLLOW_SECONDS = 1.0
# That a report shows.
MOST_JOBS = 100

FILTERS = [
    click.option("--class", "query_class", help="Of this query class."),
    click.option("--model", help="Of this model."),
    click.option("--policy", help="Decided by this policy."),
    click.option("--plan", help="With this plan, such as votes or cap."),
    click.option("--tenant", help="Asked with this key."),
    click.option("--stop-reason", help="Ended for this reason."),
    click.option("--wrong", is_flag=True, help="Known to be wrong, by reference or label."),
    click.option("--least-tokens", type=int, help="That took at least so many tokens."),
]
FORMAT = click.option("--format", "format_", type=click.Choice(["txt", "jsonl"]), default="txt",
                      show_default=True, help="A line each, or their JSON.")  # fmt: skip


def filters(command: Any) -> Any:
    for option in reversed(FILTERS):
        command = option(command)
    return command


@click.group()
def outcomes() -> None:
    """What was served, from the store (`serve --store`)."""


@outcomes.command()
@store_option
@filters
@click.option("--since", type=Moment(), help="24h, 7d, or a day.")
@click.option("--until", type=Moment(), help="The same.")
@click.option("-n", "--limit", type=click.IntRange(1), help="Only the newest so many.")
@FORMAT
def query(store: str, limit: int | None, format_: str, **wanted: Any) -> None:
    """Outcomes that fit, oldest first."""
    from scheduler.store.outcome_store import OutcomeStore
    from scheduler.store.queries import OutcomeFilter, find

    with (
        store_errors(),
        OutcomeStore(store, reads=True) as opened,
        opened.transaction() as connection,
    ):
        _show(find(connection, OutcomeFilter(**wanted), newest=limit), format_)


@outcomes.command()
@store_option
@filters
@click.option("-n", "--limit", type=click.IntRange(1), default=10, show_default=True,
              help="How many.")  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on with those that come.")
@FORMAT
def tail(store: str, limit: int, follow: bool, format_: str, **wanted: Any) -> None:
    """The newest outcomes."""
    import time

    from scheduler.store.outcome_store import OutcomeStore
    from scheduler.store.queries import OutcomeFilter, find

    with store_errors(), OutcomeStore(store, reads=True) as opened:
        some = OutcomeFilter(**wanted)
        with opened.transaction() as connection:
            last = _show(find(connection, some, newest=limit), format_)
        try:
            while follow:
                time.sleep(FOLLOW_SECONDS)
                with opened.transaction() as connection:
                    last = max(last, _show(find(connection, some, after=last), format_))
        except KeyboardInterrupt:
            raise SystemExit(130) from None


@outcomes.command()
@store_option
@click.argument("id_", metavar="ID")
def explain(store: str, id_: str) -> None:
    """What was decided for a query, why, what it cost, and what would have been cheaper.

    ID is the `thinkbudget.outcome_id` of the reply, or how it begins.
    """
    from scheduler.store import explain as explaining
    from scheduler.store.outcome_store import OutcomeStore
    from scheduler.store.queries import by_id, newest_curve

    with (
        store_errors(),
        OutcomeStore(store, reads=True) as opened,
        opened.transaction() as connection,
    ):
        line = by_id(connection, id_)
        curve = newest_curve(connection, line["model"], line["class"])
        click.echo(explaining.explain(line, curve))


@outcomes.command()
@store_option
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True,
              help="How many.")  # fmt: skip
def jobs(store: str, limit: int) -> None:
    """The batch jobs that were begun last."""
    from scheduler.store import queries
    from scheduler.store.outcome_store import OutcomeStore

    with (
        store_errors(),
        OutcomeStore(store, reads=True) as opened,
        opened.transaction() as connection,
    ):
        for job in queries.jobs(connection, newest=limit):
            click.echo(
                f"{job['id']}  {job['state']:<11} {job['completed']}/{job['total']} done, "
                f"{job['failed']} failed, {job['tokens']} tokens"
            )


def report_served(store: str, since: float, format_: str) -> None:
    """What was served since a moment, by class, policy and plan, and the batch jobs that ran
    (`thinkbudget report --since`).
    """
    import time
    from dataclasses import asdict

    from scheduler.experiments import tables
    from scheduler.store import queries
    from scheduler.store.outcome_store import OutcomeStore
    from scheduler.store.traffic import served

    with (
        store_errors(),
        OutcomeStore(store, reads=True) as opened,
        opened.transaction() as connection,
    ):
        rows = served(connection, since=since, now=time.time())
        jobs = queries.jobs(connection, newest=MOST_JOBS, since=since)
    if format_ == "json":
        click.echo(json.dumps({"served": [asdict(row) for row in rows], "jobs": jobs}, indent=1))
        return
    shown = {"md": tables.markdown, "tex": tables.latex}.get(format_, tables.plain)
    click.echo(shown(_table(rows, since)))
    if jobs:
        click.echo(shown(_jobs_table(jobs)))


def _table(rows: "list[ServedRow]", since: float) -> Any:
    from datetime import UTC, datetime

    from scheduler.experiments.tables import TextTable

    total = sum(row.tokens for row in rows)
    count = sum(row.outcomes for row in rows)
    begun = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return TextTable(
        f"{count} queries, {total} tokens since {begun}",
        ("class", "policy", "plan", "queries", "tokens", "share", "tokens each", "seconds",
         "predicted", "right", "labelled"),
        tuple(
            (
                row.query_class, row.policy, row.plan or "-", str(row.outcomes), str(row.tokens),
                f"{row.tokens / max(1, total):.1%}", f"{row.tokens_each:.0f}",
                f"{row.seconds:.2f}", _percent(row.chance), _percent(row.right),
                str(row.labelled),
            )
            for row in rows
        ),
    )  # fmt: skip


def _jobs_table(jobs: list[dict[str, Any]]) -> Any:
    from datetime import UTC, datetime

    from scheduler.experiments.tables import TextTable

    def at(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")

    return TextTable(
        f"{len(jobs)} batch jobs",
        ("job", "state", "begun (UTC)", "last news", "rows", "answered", "failed", "tokens",
         "output"),
        tuple(
            (
                job["id"], job["state"], at(job["at"]), at(job["updated"]), str(job["total"]),
                str(job["completed"]), str(job["failed"]), str(job["tokens"]),
                str(job.get("output") or "-"),
            )
            for job in jobs
        ),
    )  # fmt: skip


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _show(lines: Iterable[dict[str, Any]], format_: str) -> int:
    """Show outcomes; the place of the last one."""
    last = 0
    for line in lines:
        last = line["seq"]
        click.echo(json.dumps(line) if format_ == "jsonl" else "  ".join(_columns(line)))
    return last


def _columns(line: dict[str, Any]) -> Iterator[str]:
    from datetime import UTC, datetime

    right = {True: "right", False: "wrong", None: "-"}[line["correct"]]
    if line["correct"] is None and line["reward"] is not None:
        right = f"label {line['reward']:g}"
    chance = "-" if line.get("chance") is None else f"{line['chance']:.0%}"
    yield datetime.fromtimestamp(line["at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    yield line["id"]
    yield line["class"]
    yield line["policy"]
    yield (line.get("plan") or {}).get("name", "-")
    yield f"{line['tokens']['total']} tokens"
    yield f"{line['seconds']:.2f} s"
    yield line["stop_reason"]
    yield f"{right} ({chance})"
