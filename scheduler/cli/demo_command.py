"""`thinkbudget demo`: seven policies on the embedded model, with a table and a picture."""

from pathlib import Path

import click

from scheduler.cli.options import one_line_errors
from scheduler.cli.serve_command import serving


@click.command()
@click.option("--port", type=int, default=8000, show_default=True, help="Port of the endpoint.")
@click.option("--questions", "count", type=click.IntRange(5, 100_000), default=200,
              show_default=True, help="Questions for each policy.")  # fmt: skip
@click.option("--price", type=float, default=0.0003, show_default=True,
              help="Accuracy that one token must buy; lower thinks more.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"),
              show_default=True, help="Folder of the results.")  # fmt: skip
def demo(port: int, count: int, price: float, out: Path) -> None:
    """Serve the embedded model, ask it hundreds of questions under seven policies, and compare."""
    import asyncio

    from scheduler.cli import demo as demo_run
    from scheduler.config import EngineConfig, ServeConfig
    from scheduler.experiments.curve_tables import learned_curves
    from scheduler.experiments.questions.load import load_questions
    from scheduler.experiments.questions.question import spread
    from scheduler.experiments.report_files import write
    from scheduler.progress import progress

    with one_line_errors():
        config = ServeConfig(engine=EngineConfig(), price=price, port=port)
        questions = spread(load_questions("s1-pocket"), count)
        with serving(config), progress("demo", len(questions) * len(demo_run.POLICIES)) as bar:
            url = f"http://127.0.0.1:{port}"
            result = asyncio.run(demo_run.show(url, config.engine.model, questions, bar))
        demo_run.save(out, result)
        text = write(out / "report", result.scored, learned_curves(out))
    click.echo(text.read_text(encoding="utf-8"))
    click.echo(demo_run.last_half(result.scored))
    walls = ", ".join(f"{label} {wall:.0f} s" for label, wall in result.walls.items())
    click.echo(f"wall time: {walls}\npage: {text.with_suffix('.html')}")
