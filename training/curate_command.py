"""`thinkbudget curate`: from pools of questions to training sets."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from training.curate.pipeline import Pipeline

STAGE_NAMES = (
    "load", "decontaminate", "dedup", "traces", "quality", "classify", "difficulty", "select",
    "all",
)  # fmt: skip


@click.group()
def curate() -> None:
    """Select training questions from large pools (s1, section 2)."""


def _stage_command(stage: str) -> click.Command:
    what = "every stage" if stage == "all" else f"the stage {stage}"

    @click.command(stage, help=f"Run {what} of a curation, if it is not done already.")
    @click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--check", "only_check", is_flag=True,
                  help="Look at settings, files, tokenizer and endpoints, and stop.")  # fmt: skip
    @click.option("--yes", is_flag=True, help="Spend without asking.")
    @click.option("--in-process", is_flag=True, help="Without Ray, in this process.")
    def command(config: Path, only_check: bool, yes: bool, in_process: bool) -> None:
        run(stage, config, only_check=only_check, yes=yes, in_process=in_process)

    return command


for _name in STAGE_NAMES:
    curate.add_command(_stage_command(_name))


@curate.command("from-outcomes")
@click.argument("log", metavar="LOG|STORE")
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="JSON Lines file, for `path` of a source.")  # fmt: skip
@click.option("--chance", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="Take answers without a label that are less likely to be right.")  # fmt: skip
@click.option("--factor", type=click.FloatRange(1), default=2.0, show_default=True,
              help="Long is so many times the median tokens of the class.")  # fmt: skip
def from_outcomes(log: str, out: Path, chance: float, factor: float) -> None:
    """Questions in outcomes (a log, or a store) that the model fails, or thinks long for little."""
    import json
    from collections import Counter

    from scheduler.cli.options import one_line_errors
    from scheduler.store.queries import outcomes_of
    from training.curate.from_outcomes import questions_from, with_texts

    with one_line_errors():
        try:
            rows = questions_from(with_texts(outcomes_of(log)), chance=chance, factor=factor)
        except (OSError, KeyError, TypeError) as error:
            raise ValueError(f"{log}: not an outcome log: {error!r}") from None
        out.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    click.echo(f"{len(rows)} questions -> {out}")
    for reason, count in sorted(Counter(row["reason"] for row in rows).items(), key=str):
        click.echo(f"  {count} x {reason}")


def run(stage: str, config: Path, *, only_check: bool, yes: bool, in_process: bool) -> None:
    """Run a stage or all. Exit code 2: wrong input; 1: an endpoint ended the stage."""
    from contextlib import ExitStack

    from scheduler.cli.options import one_line_errors
    from training.curate.asking import AskingEnded
    from training.curate.bulk import InProcess, Mapper
    from training.curate.check import check
    from training.curate.connect import connect
    from training.curate.pipeline import Pipeline, endpoints_of, steps
    from training.curate.settings import read_settings

    with ExitStack() as stack:
        stack.enter_context(one_line_errors())
        settings = read_settings(config)
        wanted = steps(settings, stage)
        for step in wanted:
            endpoints_of(settings, step)  # a table that is missing shows before the first stage
        if only_check:
            for line in check(settings, wanted, connect):
                click.echo(line)
            return
        mapper: Mapper = InProcess()
        if not in_process:
            from training.curate.ray_bulk import joined

            mapper = stack.enter_context(joined())
        pipeline = Pipeline(settings, mapper, connect)
        for step in wanted:
            if pipeline.is_current(step):
                click.echo(f"{step}: done before")
                continue
            _confirm(pipeline, step, yes)
            try:
                manifest = pipeline.run(step)
            except AskingEnded as ended:
                raise click.ClickException(f"{step}: {ended}") from ended
            click.echo(f"{step}: {manifest.rows_in} -> {manifest.rows_out} rows")
            for reason, count in sorted(manifest.dropped.items()):
                click.echo(f"  {count} x {reason}")


def _confirm(pipeline: "Pipeline", step: str, yes: bool) -> None:
    """Show what a step can cost at most, and ask if that is more than nothing."""
    costs = pipeline.costs(step)
    for name, cost in costs.items():
        click.echo(
            f"{step}: {name} is asked {cost.requests} times: about {cost.prompt_tokens} tokens in, "
            f"at most {cost.completion_tokens} out, at most {cost.dollars:.2f} dollars"
        )
    if any(cost.dollars for cost in costs.values()) and not yes:
        click.confirm("Spend it?", abort=True)
