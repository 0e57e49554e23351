"""`thinkbudget doctor`: what this machine has and what it lacks."""

import click


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
def doctor(port: int) -> None:
    """Say what is here and what is missing, with the mend."""
    from scheduler.cli.doctor import examine

    findings = examine(port)
    for finding in findings:
        sign = "ok" if not finding.mend else "!!" if finding.fatal else "--"
        mend = f"  -> {finding.mend}" if finding.mend else ""
        click.echo(f"{sign}  {finding.what:<10} {finding.found}{mend}")
    raise SystemExit(1 if any(finding.fatal for finding in findings) else 0)
