"""`thinkbudget doctor`: what this machine has and what it lacks."""

import click


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True,
              help="Port that the endpoint is to use.")  # fmt: skip
@click.option("--model", default="s1-pocket", show_default=True, help="Name on the hub, or folder.")
def doctor(port: int, model: str) -> None:
    """Check what this machine has, and say what to do about what is missing."""
    from scheduler.cli.doctor import examine

    findings = examine(port, model)
    for finding in findings:
        sign = "ok" if not finding.advice else "!!" if finding.fatal else "--"
        advice = f"  -> {finding.advice}" if finding.advice else ""
        click.echo(f"{sign}  {finding.what:<10} {finding.found}{advice}")
    raise SystemExit(1 if any(finding.fatal for finding in findings) else 0)
