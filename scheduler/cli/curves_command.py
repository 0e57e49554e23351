"""`thinkbudget curves` and `classes`: what was learned, read by people, and of which questions."""

from pathlib import Path

import click

from scheduler.cli.options import one_line_errors


@click.group()
def curves() -> None:
    """What was learned, from the file that `serve --curves` keeps, or a folder of an experiment.

    A running server writes the file every 30 seconds, and at its end.
    """


@curves.command("show")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
def curves_show(path: Path) -> None:
    """Every class: what is best at its price, and what fixed settings would give."""
    from scheduler.experiments.curve_tables import read, show

    with one_line_errors():
        click.echo(show(read(path)))


@curves.command("plot")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path),
              default=Path("curves.png"), show_default=True)  # fmt: skip
def curves_plot(path: Path, out: Path) -> None:
    """A picture: accuracy against tokens, a panel a class."""
    from scheduler.experiments.charts.pictures import draw_curves
    from scheduler.experiments.curve_tables import read

    with one_line_errors():
        draw_curves(out, read(path))
    click.echo(f"picture: {out}")


@curves.command("export")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
def curves_export(path: Path) -> None:
    """All points of all classes as CSV, to standard output."""
    from scheduler.experiments.curve_tables import export, read

    with one_line_errors():
        click.echo(export(read(path)), nl=False)


@click.group()
def classes() -> None:
    """Classes of queries that declare none."""


@classes.command("fit")
@click.argument("log", metavar="LOG|STORE")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path),
              default=Path("classes.npz"), show_default=True)  # fmt: skip
@click.option("--classes", "count", type=click.IntRange(1, 1000), default=8, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)  # fmt: skip
def classes_fit(log: str, out: Path, count: int, seed: int) -> None:
    """Group the questions of an outcome log, or of a store, by how they read.

    Serve with `classes = OUT`. A store keeps questions where `store.texts` is set.
    """
    from scheduler.curves import query_classes

    with one_line_errors():
        texts = questions(log)
        fitted = query_classes.fit(texts, count, seed=seed)
    fitted.save(out)
    for size in query_classes.sizes(fitted, texts):
        click.echo(f"{size.questions:8d}  {size.name}")
    click.echo(f"classes: {out}")


def questions(log: str | Path) -> list[str]:
    """The questions of an outcome log, or of a store."""
    from scheduler.store.queries import outcomes_of

    try:
        found = [line["question"] for line in outcomes_of(str(log))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{log}: not an outcome log: {error!r}") from None
    if found and all(question is None for question in found):
        raise ValueError(f"{log}: it was kept without texts (`store.texts`)")
    if not found or not all(isinstance(question, str) for question in found):
        raise ValueError(f"{log}: no question in it")
    return found
