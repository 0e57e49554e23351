"""`thinkbudget keys`: make, list and revoke the keys that `serve --keys` asks for."""

from dataclasses import asdict
from pathlib import Path

import click

from scheduler.cli.options import one_line_errors

FILE = click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path),
                    default=Path("keys.jsonl"), show_default=True, help="Keys file.")  # fmt: skip
LIMIT = click.IntRange(min=1)
# As scheduler.admission.access.Role, which is heavy to import; a test holds them together.
ROLES = ("inference", "batch", "metrics", "viewer", "admin")


@click.group()
def keys() -> None:
    """Keys of those who may use an endpoint: what `serve --keys` asks for."""


@keys.command("create")
@click.argument("name")
@FILE
@click.option("--role", type=click.Choice(ROLES), default="inference", show_default=True,
              help="What the key may do (docs/serving.md).")  # fmt: skip
@click.option("--priority", is_flag=True, help="Allow service_tier=priority.")
@click.option("--requests-per-minute", type=LIMIT, help="Requests in a minute.")
@click.option("--tokens-per-minute", type=LIMIT, help="Tokens in a minute.")
@click.option("--tokens-per-day", type=LIMIT, help="Tokens in a day.")
@click.option("--reserved-tokens", type=LIMIT,
              help="Worst-case tokens of all its requests running at once.")  # fmt: skip
def keys_create(name: str, path: Path, role: str, priority: bool, **limits: int | None) -> None:
    """Make a key for NAME, and show it: this once, as only its hash is kept."""
    from scheduler.admission.limits import KeyLimits
    from scheduler.api.keys import create

    key_limits = KeyLimits(**limits) if any(limits.values()) else None
    with one_line_errors():
        secret = create(path, name, role=role, priority=priority, limits=key_limits)
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
        for limit, value in limits.items():
            if value is not None:
                click.echo(f"{'':<24} {limit} {value}")


@keys.command("revoke")
@click.argument("name")
@FILE
def keys_revoke(name: str, path: Path) -> None:
    """Stop every key of NAME at once, also in servers that run."""
    from scheduler.api.keys import revoke

    with one_line_errors():
        count = revoke(path, name)
    click.echo(f"{count} revoked")
