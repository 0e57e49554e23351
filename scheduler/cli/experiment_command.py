"""`thinkbudget experiment` and `report`: policies compared on the same questions."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scheduler.cli.off_policy_command import off_policy
from scheduler.cli.options import WrongInput, one_line_errors
from scheduler.cli.outcomes_command import report_served
from scheduler.cli.store_options import Moment

if TYPE_CHECKING:
    from scheduler.experiments.prepare import Prepared
    from scheduler.experiments.runner import Spread
    from scheduler.experiments.settings import ExperimentConfig

PROCESSES = click.option(
    "--processes", type=click.IntRange(1, 1024),
    help="Of simulated and replayed engines.  [default: one a core]",
)  # fmt: skip
ON_RAY = click.option(
    "--ray", "on_ray", is_flag=True,
    help="Run the cells of simulated and replayed engines on the Ray cluster of RAY_ADDRESS, or "
    "on one of this machine.",
)  # fmt: skip


@click.group()
def experiment() -> None:
    """Budget-policy experiments (docs/experiments.md)."""


experiment.add_command(off_policy)


@experiment.command("run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path),
              help="Folder of the results.  [default: runs/NAME of FILE]")  # fmt: skip
@click.option("--force", is_flag=True, help="Set results of another experiment in OUT aside.")
@click.option("--dry-run", is_flag=True, help="Show what would run, and the tokens it would take.")
@PROCESSES
@ON_RAY
def experiment_run(
    file: Path, out: Path | None, force: bool, dry_run: bool, processes: int | None, on_ray: bool
) -> None:
    """Run the policies x seeds of FILE (TOML); what is in OUT already is not run again.

    Exit code 3: some questions failed. 4: OUT belongs to another experiment.
    """
    from scheduler.experiments.settings import ExperimentConfig
    from scheduler.settings import read_toml

    with one_line_errors():
        config = read_toml(file, ExperimentConfig)
    folder = out or Path("runs") / file.stem
    run_experiment(config, folder, force=force, dry_run=dry_run, processes=processes, on_ray=on_ray)


@experiment.command("resume")
@click.argument("out", type=click.Path(exists=True, file_okay=False, path_type=Path))
@PROCESSES
@ON_RAY
def experiment_resume(out: Path, processes: int | None, on_ray: bool) -> None:
    """Go on with the experiment in OUT, with the settings that it was begun with."""
    import os

    from scheduler.experiments.manifest import config_of

    out = out.resolve()
    with one_line_errors():
        config, place = config_of(out)
        try:
            os.chdir(place)
        except OSError as error:
            raise ValueError(f"{out} was begun in {place}: {error.strerror}") from None
    run_experiment(config, out, processes=processes, on_ray=on_ray)


@experiment.command("show")
@click.argument("out", type=click.Path(exists=True, file_okay=False, path_type=Path))
def experiment_show(out: Path) -> None:
    """What the experiment in OUT has done, and its results so far."""
    from scheduler.experiments.cell_run import partial_rows_of
    from scheduler.experiments.cells import all_cells
    from scheduler.experiments.manifest import config_of
    from scheduler.experiments.report import blocks, tables
    from scheduler.experiments.results import load_results
    from scheduler.experiments.tables import plain

    with one_line_errors():
        config, _ = config_of(out)
        cells = all_cells(config)
        done = [cell for cell in cells if cell.path(out).is_file()]
        click.echo(f"{len(done)} of {len(cells)} cells are complete")
        for cell in cells:
            if cell not in done and (begun := partial_rows_of(cell.path(out))):
                click.echo(f"  {cell.name}: {begun} questions so far")
        if done:
            for block in blocks(load_results(out)):
                click.echo("\n" + plain(tables(block)[0]))


@experiment.command("compare")
@click.argument("a", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("b", type=click.Path(exists=True, file_okay=False, path_type=Path))
def experiment_compare(a: Path, b: Path) -> None:
    """The policies that experiments A and B both have, paired by question, with p-values."""
    from scheduler.experiments.comparisons import comparison_table
    from scheduler.experiments.metrics.accuracy import compare
    from scheduler.experiments.metrics.table import score_table
    from scheduler.experiments.results import load_results
    from scheduler.experiments.tables import plain

    with one_line_errors():
        one, other = load_results(a), load_results(b)
        common = [
            policy
            for policy in dict.fromkeys(row["policy"] for row in one)
            if policy in {row["policy"] for row in other}
        ]
        if not common:
            raise ValueError(f"{a} and {b} have no policy in common")
        rows = [
            row | {"policy": f"{row['policy']} ({side})"}
            for side, part in (("A", one), ("B", other))
            for row in part
        ]
        scores = score_table(rows)
        found = [compare(scores, f"{name} (A)", f"{name} (B)") for name in common]
        click.echo(plain(comparison_table(f"A: {a}, B: {b}", found)))


@experiment.command("s1-study")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path),
              help="Folder of figures and tables.  [default: FOLDER/report]")  # fmt: skip
def s1_study(folder: Path, out: Path | None) -> None:
    """The paper's tables and figures, of the experiments of experiments/s1 in FOLDER.

    FOLDER/forcing holds the results of forcing.toml, and so on.
    """
    from scheduler.experiments.s1_study.figures import draw_study
    from scheduler.experiments.s1_study.runs import read_study
    from scheduler.experiments.s1_study.tables import study_tables
    from scheduler.experiments.tables import markdown, plain

    with one_line_errors():
        study, place = read_study(folder), out or folder / "report"
        place.mkdir(parents=True, exist_ok=True)
        made = study_tables(study)
        text = "\n\n".join(map(markdown, made))
        (place / "tables.md").write_text(f"{text}\n", encoding="utf-8")
        click.echo("\n\n".join(map(plain, made)))
        for figure in draw_study(place, study):
            click.echo(f"picture: {figure}", err=True)


@experiment.command("export")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--format", "format_", type=click.Choice(["inspect"]), required=True,
              help="inspect: for `inspect view`; needs the extra `inspect`.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path),
              help="Folder of the logs.  [default: FOLDER/inspect]")  # fmt: skip
def experiment_export(folder: Path, format_: str, out: Path | None) -> None:
    """Write the results in FOLDER in the format of another tool, a log for each policy."""
    from scheduler.experiments.export import export_inspect

    with one_line_errors():
        paths = export_inspect(folder, out or folder / format_)
    click.echo(f"{len(paths)} logs in {out or folder / format_}")


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--since",
    type=Moment(),
    metavar="WHEN",
    help="Report what was served since then (24h, 7d, a day) in the place of FOLDER.",
)
@click.option(
    "--store",
    envvar="THINKBUDGET_STORE",
    metavar="URL",
    help="With --since: the store.  [env: THINKBUDGET_STORE]",
)
@click.option("--compare", "pairs", multiple=True, nargs=2, metavar="A B",
              help="Compare two policies, paired by question; may be repeated.")  # fmt: skip
@click.option("--format", "format_", default="txt", show_default=True,
              type=click.Choice(["txt", "md", "tex", "json"]), help="What is shown.")  # fmt: skip
def report(
    folder: Path | None,
    since: float | None,
    store: str | None,
    pairs: tuple[tuple[str, str], ...],
    format_: str,
) -> None:
    """Of an experiment: tables, figures and a page of the results, written to FOLDER/report.

    Of served traffic, by --since: queries, tokens and accuracy by class, policy and plan.
    """
    if (folder is None) == (since is None):
        raise click.UsageError("name the FOLDER of an experiment, or --since for served traffic")
    if folder is None:
        if store is None or since is None:
            raise click.UsageError("--since needs --store, or THINKBUDGET_STORE")
        report_served(store, since, format_)
        return
    from scheduler.experiments import tables
    from scheduler.experiments.comparisons import compared
    from scheduler.experiments.curve_tables import learned_curves
    from scheduler.experiments.manifest import NAME, config_of
    from scheduler.experiments.report import blocks
    from scheduler.experiments.report_files import write
    from scheduler.experiments.results import load_results

    with one_line_errors():
        rows = load_results(folder)
        config = config_of(folder)[0] if (folder / NAME).is_file() else None
        written = write(folder / "report", rows, learned_curves(folder), config)
        click.echo(written.with_suffix(f".{format_}").read_text(encoding="utf-8"))
        if pairs:
            shown = {"md": tables.markdown, "tex": tables.latex}.get(format_, tables.plain)
            for block in blocks(rows):
                click.echo(shown(compared(block.title, block.scores, pairs)) + "\n")
    click.echo(f"page: {written.with_suffix('.html')}", err=True)


def run_experiment(
    config: "ExperimentConfig",
    folder: Path,
    *,
    force: bool = False,
    dry_run: bool = False,
    processes: int | None = None,
    on_ray: bool = False,
    done: str = "",
) -> None:
    """Run what is missing in the folder, tell `done` or where the results are, and exit."""
    from scheduler.errors import RequestError
    from scheduler.experiments import forecast, runner
    from scheduler.experiments.manifest import claim, locked
    from scheduler.experiments.off_policy.estimates_table import NAME as ESTIMATES
    from scheduler.experiments.off_policy.estimates_table import evaluate_logs
    from scheduler.experiments.prepare import prepare
    from scheduler.manifest import ResumeRefused
    from scheduler.progress import progress

    with one_line_errors():
        prepared = prepare(config)
        todo = runner.missing(prepared, folder)
        if dry_run:
            _tell_plan(prepared, len(todo))
            if todo:
                click.echo(forecast.table(list(forecast.forecasts(prepared, todo, folder))))
            return
        with locked(folder):
            try:
                claim(prepared, folder, force=force)
                todo = runner.missing(prepared, folder)
                total = sum(len(prepared.asked(cell)) for cell in todo)
                if todo:
                    with progress("experiment", total) as bar:
                        spread = _on_ray() if on_ray else None
                        runner.run(prepared, todo, folder, bar, processes=processes, spread=spread)
                if config.decision_logs:
                    click.echo(evaluate_logs(config, folder))
                    done = done or f"estimates in {folder / ESTIMATES}" * (not prepared.cells)
                _finish(prepared, folder, done)
            except* ResumeRefused as refused:
                click.echo(f"Error: {refused.exceptions[0]}", err=True)
                raise SystemExit(4) from refused
            except* (RequestError, OSError) as errors:
                first = errors.exceptions[0]
                while isinstance(first, BaseExceptionGroup):
                    first = first.exceptions[0]
                why = first.message if isinstance(first, RequestError) else str(first)
                raise WrongInput(f"{why}; {_kept(folder)}") from errors
            except* KeyboardInterrupt as interrupted:
                click.echo(f"interrupted; {_kept(folder)}", err=True)
                raise SystemExit(130) from interrupted


def _on_ray() -> "Spread":
    from scheduler.experiments.ray_cells import on_ray

    return on_ray


def _kept(folder: Path) -> str:
    return f"what is done is kept; go on with: thinkbudget experiment resume {folder}"


def _finish(prepared: "Prepared", folder: Path, done: str) -> None:
    from scheduler.experiments.results import read_cell, write_results

    paths = [cell.path(folder) for cell in prepared.cells]
    lines, parquet = write_results(folder, paths)
    failed = [row for path in paths for row in read_cell(path) if row["error"] is not None]
    for policy in dict.fromkeys(row["policy"] for row in failed):
        errors = [row["error"] for row in failed if row["policy"] == policy]
        click.echo(f"{policy}: {len(errors)} questions failed, the first: {errors[0]}", err=True)
    told = f"results in {parquet} and {lines.name}; see: thinkbudget report {folder}"
    click.echo(done or told)
    raise SystemExit(3 if failed else 0)


def _tell_plan(prepared: "Prepared", todo: int) -> None:
    click.echo(
        f"{len(prepared.cells)} cells (engine, questions, policy, seed), {todo} of them to do; "
        f"{prepared.total} questions in all"
    )
    for (engine, name), questions in prepared.questions.items():
        click.echo(f"  {name} on {engine}: {len(questions)} questions")
