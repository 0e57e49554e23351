"""`thinkbudget experiment off-policy`: what other policies would have reached on an outcome log."""

import json
from pathlib import Path
from typing import Any

import click

from scheduler.cli.options import one_line_errors

REFUSED = 7


@click.command("off-policy")
@click.argument("logs", nargs=-1, required=True, metavar="LOG...", type=click.Path(path_type=Path))
@click.option("--policy", "policies", multiple=True, required=True, metavar="NAME[,OPTION=VALUE]",
              help="A policy, or one of your own, FILE.py:CLASS; may be repeated.")  # fmt: skip
@click.option("--curves", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Learned curves to decide by, as `serve --curves` keeps them.")  # fmt: skip
@click.option("--answer-tokens", type=int, default=512, show_default=True,
              help="Tokens reserved for the answer of a chain, as on the server.")  # fmt: skip
@click.option("--format", "format_", default="txt", show_default=True,
              type=click.Choice(["txt", "md", "csv", "json"]), help="What is shown.")  # fmt: skip
def off_policy(
    logs: tuple[Path, ...],
    policies: tuple[str, ...],
    curves: Path | None,
    answer_tokens: int,
    format_: str,
) -> None:
    """Estimate policies from the decisions in LOG, with those that were set aside as LOG.1 ...

    Accuracy and tokens by IPS, SNIPS and DR with 95 % intervals. Exit code 7: of some policy the
    log does not tell enough.
    """
    from scheduler.experiments import tables
    from scheduler.experiments.off_policy.estimates_table import (
        as_json,
        decisions_of,
        estimates,
        table,
    )
    from scheduler.policy_file import build_policy

    with one_line_errors():
        built = {}
        for text in policies:
            name, options = _policy(text)
            built[text] = build_policy(name, **({"answer_tokens": answer_tokens} | options))
        found = estimates(decisions_of(logs, curves), built)
    if format_ == "json":
        click.echo(json.dumps(as_json(found), indent=1))
    else:
        shown = {"md": tables.markdown, "csv": tables.as_csv}.get(format_, tables.plain)
        click.echo(shown(table(found, f"{found[0].overlap.decisions} logged decisions")))
    raise SystemExit(REFUSED if any(each.refused for each in found) else 0)


def _policy(text: str) -> tuple[str, dict[str, Any]]:
    """A name and options. Raises ValueError that names what is wrong."""
    name, *pairs = text.split(",")
    options: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not (sign and key.strip()):
            raise ValueError(f"--policy {text}: options are of the form OPTION=VALUE, got {pair!r}")
        try:
            options[key.strip()] = json.loads(value)
        except ValueError:
            options[key.strip()] = value
    return name, options
