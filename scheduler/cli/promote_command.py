"""`thinkbudget policy promote`: the candidate of an A/B split becomes the server's policy."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scheduler.cli.options import one_line_errors

if TYPE_CHECKING:
    from scheduler.experiments.off_policy.split_log import ArmComparison

NOT_YET, WORSE = 7, 8


@click.command("promote")
@click.argument("settings", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--margin", type=click.FloatRange(0, 1), default=0.02, show_default=True,
              help="The candidate may be worse by so much at most.")  # fmt: skip
@click.option("--price", type=click.FloatRange(0, 1, max_open=True), default=0.0,
              metavar="ACCURACY",
              help="Compare accuracy less the price of tokens, instead of accuracy.")  # fmt: skip
@click.option("--log", type=click.Path(path_type=Path),
              help="Log of the outcomes.  [default: `outcomes` of SETTINGS]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Tell what would be done; write nothing.")
def promote(settings: Path, margin: float, price: float, log: Path | None, dry_run: bool) -> None:
    """Make the candidate of [rollout] the policy of SETTINGS, if it is surely not worse.

    Reads the log of the split. Exit code 0: promoted. 7: more labelled queries are needed. 8: the
    candidate is surely worse by more than the margin.
    """
    from scheduler.config import ServeConfig
    from scheduler.experiments.off_policy.promotion import promote as write
    from scheduler.experiments.off_policy.promotion import promoted
    from scheduler.experiments.off_policy.split_log import compare_arms, read_split
    from scheduler.settings import read_toml
    from scheduler.solving.rollout import split_of

    with one_line_errors():
        config = read_toml(settings, ServeConfig)
        if config.rollout is None:
            raise ValueError(f"{settings}: there is no [rollout] with a candidate in it")
        if log is None and config.outcomes is None:
            raise ValueError(f"{settings}: outcomes names no log of the split; name one with --log")
        policy, candidate = config.policy, config.rollout
        try:
            split = split_of(
                (policy.name, config.policy_options),
                (candidate.name, config.filled(candidate.options)),
            )
        except OSError as error:
            raise ValueError(f"{settings}: {error.filename}: {error.strerror}") from None
        promoted(settings.read_text(encoding="utf-8"))
        outcomes = read_split(log or Path(config.outcomes or ""), split)
        found = compare_arms(outcomes, margin, price=price)
    click.echo(_told(found, candidate.name, policy.name, "net value" if price else "accuracy"))
    if found.bounds.low > -margin:
        if dry_run:
            click.echo(f"{candidate.name} would be promoted")
            return
        with one_line_errors():
            kept = write(settings)
        click.echo(f"{settings}: the policy is {candidate.name} now; the old file is {kept}")
        return
    if found.bounds.high < -margin:
        click.echo(f"not promoted: {candidate.name} is worse by more than {margin:g}")
        raise SystemExit(WORSE)
    click.echo(f"not promoted: at least -{margin:g} is asked for; {_more(found)}")
    raise SystemExit(NOT_YET)


def _told(found: "ArmComparison", candidate: str, policy: str, quantity: str) -> str:
    count = found.bounds.observations
    head = f"{candidate} against {policy}: {count} labelled queries, {found.candidates} of them its"
    if not count:
        return head
    bounds = found.bounds
    return (
        f"{head}\n{quantity} {bounds.mean:+.4f}, at least {bounds.low:+.4f} and at most "
        f"{bounds.high:+.4f} (95 % each, however often one looks); tokens {found.tokens:+.0f}"
    )


def _more(found: "ArmComparison") -> str:
    count, needed = found.bounds.observations, found.needed
    if not count:
        return "no query of a split between these policies, with these options, has a label"
    if needed is None:
        return "with a difference as it is so far, no number of labels would show it"
    more = max(1, needed - count)
    return f"about {more} more labelled queries are likely needed, if the difference stays so"
