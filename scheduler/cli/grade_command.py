"""`thinkbudget grade`: a file of answers and their references into right and wrong."""

from pathlib import Path

import click

from scheduler.cli.options import ANSWER_KINDS


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path),
              help="Write each line with its grade here.")  # fmt: skip
@click.option("--kind", type=click.Choice(ANSWER_KINDS), default="auto", show_default=True,
              help="What answers are, where a line has no kind of its own.")  # fmt: skip
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True,
              help="Processes that compare formulas.")  # fmt: skip
def grade(source: Path, out: Path | None, kind: str, processes: int) -> None:
    """Grade the answers of SOURCE, JSON lines, by their references.

    A line has `reference`, and `answer` or `reply`; it may have `kind` and `choices`. In a reply
    the answer is found first. OUT has each line with `right`, `reason` and `method` in the order
    of SOURCE. Exit code 3: some lines could not be read; the rest are graded.
    """
    import asyncio
    import json
    from collections import Counter
    from contextlib import ExitStack

    from scheduler.progress import progress
    from workers.answers.grading_file import BadLine, graded, read
    from workers.answers.math_pool import PoolLimits

    if out is not None and out.exists() and out.samefile(source):
        raise click.UsageError(f"OUT is SOURCE: {out}")
    bad, counts, methods = 0, Counter[str](), Counter[str]()

    async def work() -> None:
        nonlocal bad
        with ExitStack() as stack:
            lines = stack.enter_context(source.open("rb"))
            try:
                file = out and stack.enter_context(out.open("w", encoding="utf-8"))
            except OSError as error:
                raise click.UsageError(f"OUT cannot be written: {error}") from error
            bar = stack.enter_context(progress("grade", None))
            async for result in graded(read(lines, kind), PoolLimits(processes=processes)):
                bar.advance()
                if isinstance(result, BadLine):
                    bad += 1
                    click.echo(f"{source}: line {result.number}: {result.why}", err=True)
                    continue
                counts["right" if result.grade.right else "wrong"] += 1
                methods[result.grade.method] += 1
                if file:
                    file.write(json.dumps(result.as_dict(), ensure_ascii=True) + "\n")

    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(130) from None
    right, wrong, total = counts["right"], counts["wrong"], counts.total()
    share = f" ({100 * right / total:.1f} %)" if total else ""
    click.echo(f"{right} right of {total}{share}, {wrong} wrong, {bad} bad lines")
    for method, count in sorted(methods.items()):
        click.echo(f"  {count} by {method}")
    if out is not None:
        click.echo(f"-> {out}")
    raise SystemExit(3 if bad else 0)
