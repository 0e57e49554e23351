"""`thinkbudget keys`: make, list and revoke the keys that `serve --keys` asks for."""

from dataclasses import asdict
from pathlib import Path

import click

from scheduler.cli.options import one_line_errors

FILE = click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path),
                    default=Path("keys.jsonl"), show_default=True)  # fmt: skip
LIMIT = click.IntRange(min=1)


@click.group()
def keys() -> None:
    """Keys of those who may use an endpoint: what `serve --keys` asks for."""


@keys.command("create")
@click.argument("name")
@FILE
@click.option("--role", default="inference", show_default=True, help="inference, batch or admin.")
@click.option("--priority", is_flag=True, help="Let it use the tier of that name.")
@click.option("--requests-per-minute", type=LIMIT)
@click.option("--tokens-per-minute", type=LIMIT)
@click.option("--tokens-per-day", type=LIMIT)
@click.option("--reserved-tokens", type=LIMIT, help="Of all its running queries, at worst.")
def keys_create(name: str, path: Path, role: str, priority: bool, **limits: int | None) -> None:
    """Make a key for NAME, and show it: this once, as only its hash is kept."""
    from scheduler.admission.limits import KeyLimits
    from scheduler.api.keys import create

    own = KeyLimits(**limits) if any(limits.values()) else None
    with one_line_errors():
        secret = create(path, name, role=role, priority=priority, limits=own)
    click.echo(secret)


@keys.command("list")
@FILE
def keys_list(path: Path) -> None:
    """Every key that there is or was: its name, role, dates and limits."""
    from scheduler.api.keys import read_keys

    with one_line_errors():
        known = read_keys(path)
    for key in known:
        state = f"revoked {key.revoked}" if key.revoked else "in use"
        tiers = " priority" if key.priority else ""
        click.echo(f"{key.name:<24} {key.role:<9}{tiers} created {key.created}  {state}")
        limits = asdict(key.limits) if key.limits else {}
        for limit, most in limits.items():
            if most is not None:
                click.echo(f"{'':<24} {limit} {most}")


@keys.command("revoke")
@click.argument("name")
@FILE
def keys_revoke(name: str, path: Path) -> None:
    """Stop every key of NAME at once, also in servers that run."""
    from scheduler.api.keys import revoke

    with one_line_errors():
        count = revoke(path, name)
    click.echo(f"{count} revoked")
