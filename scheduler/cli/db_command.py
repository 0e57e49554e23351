"""`thinkbudget db`: the store's schema, its health, and copies of it (docs/store.md)."""

from pathlib import Path

import click

from scheduler.cli.store_options import store_errors, store_option


@click.group()
def db() -> None:
    """The store of outcomes: schema, health, copies (docs/store.md)."""


@db.command()
@store_option
@click.option("--to", "revision", metavar="SCHEMA", help="A schema.  [default: the newest]")
def upgrade(store: str, revision: str | None) -> None:
    """Bring the store to a newer schema, or make an empty one."""
    _migrate(store, revision)


@db.command()
@store_option
@click.option("--to", "revision", required=True, metavar="SCHEMA",
              help='An older schema; "base" takes all tables away.')  # fmt: skip
@click.confirmation_option("--yes", prompt="Data that the older schema lacks is lost. Go on?")
def downgrade(store: str, revision: str) -> None:
    """Bring the store to an older schema; `db backup` first."""
    _migrate(store, revision)


def _migrate(store: str, revision: str | None) -> None:
    from scheduler.store.outcome_store import migrate

    with store_errors():
        before, after = migrate(store, revision)
    click.echo(f"schema {after}" if before == after else f"schema {before} -> {after}")


@db.command()
@store_option
def current(store: str) -> None:
    """The store's schema, and the newest one. Exit code 2: another program's."""
    from scheduler.store import outcome_store, schema

    with store_errors():
        found = outcome_store.current(store)
    click.echo(f"schema {found}, the newest is {schema.head()}")


@db.command()
@store_option
def check(store: str) -> None:
    """Rows by table, and what is wrong with the store. Exit code 3: something is."""
    from scheduler.store.copying import count_rows, problems
    from scheduler.store.outcome_store import OutcomeStore

    with store_errors(), OutcomeStore(store, reads=True) as opened:
        for table, count in count_rows(opened).items():
            click.echo(f"{count:10d}  {table}")
        found = problems(opened)
    for problem in found:
        click.echo(f"wrong: {problem}", err=True)
    click.echo("ok" if not found else f"{len(found)} problems")
    raise SystemExit(3 if found else 0)


@db.command()
@store_option
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="A SQLite file that is not there yet.")  # fmt: skip
def backup(store: str, out: Path) -> None:
    """Copy the store, as it is at one moment, into a SQLite file. Serving goes on.

    `db copy --store OUT URL` brings it back.
    """
    if out.exists():
        raise click.BadParameter(f"{out} is there already", param_hint="--out")
    partial = out.with_name(out.name + ".partial")
    for part in _files(partial):
        part.unlink(missing_ok=True)
    _copy(store, str(partial))
    partial.replace(out)
    for part in _files(partial):
        part.unlink(missing_ok=True)
    click.echo(f"backup: {out}")


@db.command()
@store_option
@click.argument("target", metavar="URL")
def copy(store: str, target: str) -> None:
    """Copy the store into an empty one at URL: back from a backup, or to another database."""
    _copy(store, target)


def _copy(store: str, target: str) -> None:
    from scheduler.progress import progress
    from scheduler.store import copying
    from scheduler.store.outcome_store import OutcomeStore

    with (
        store_errors(),
        OutcomeStore(store, reads=True) as source,
        OutcomeStore(target) as made,
        progress("rows", sum(copying.count_rows(source).values())) as bar,
    ):
        copied = copying.copy(source, made, bar)
    click.echo(", ".join(f"{count} {table}" for table, count in copied.items()))


def _files(path: Path) -> list[Path]:
    """All that belongs to a SQLite store."""
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm", ".owner")]


@db.command()
@store_option
@click.option("-o", "--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder of the files.")  # fmt: skip
def export(store: str, out: Path) -> None:
    """Every table as OUT/TABLE.parquet, as it is at one moment."""
    from scheduler.progress import progress
    from scheduler.store import copying
    from scheduler.store.outcome_store import OutcomeStore

    with (
        store_errors(),
        OutcomeStore(store, reads=True) as source,
        progress("rows", sum(copying.count_rows(source).values())) as bar,
    ):
        paths = copying.export(source, out, bar)
    for path in paths:
        click.echo(path)
